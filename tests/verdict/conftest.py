"""What tests of the verdict share."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def lab():
    """Calibrations and tables made by drawing: tests/verdict/calibrated.py."""
    path = Path(__file__).parent / "calibrated.py"
    spec = importlib.util.spec_from_file_location("calibrated", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
