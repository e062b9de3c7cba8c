"""What all tests share: one torch thread, small networks, and the small task."""

import importlib.util
import signal
from pathlib import Path

import pytest
import torch

from lthbench import registry
from lthbench.cli import app
from lthbench.spec import Data, Init, Network, Recipe

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _unforeseen():
    """What nobody foresaw fails a test, where a user is told one line."""

    def unforeseen(error):
        raise error

    before, app.unforeseen = app.unforeseen, unforeseen
    yield before
    app.unforeseen = before


@pytest.fixture(autouse=True, scope="session")
def _interrupts():
    """Interrupts are heard, also where the tests run in the background of a shell that has them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _plugins_named():
    """Forgets the plug-ins that were named by path: a later run in this process would take them in."""
    paths, before = registry._paths, dict(registry._paths)
    yield
    paths.clear()
    paths.update(before)


_after_a_module = pytest.fixture(autouse=True, scope="module")(_plugins_named)
_after_a_test = pytest.fixture(autouse=True)(_plugins_named)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test looks at the user's cache of data sets and weights, or at that of another test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)  # what sets it holds for all that comes later


@pytest.fixture(scope="session")
def tiny_task():
    """A task file that runs in seconds: digits, ResNet-8, two epochs."""
    return str(TESTS / "tiny.toml")


@pytest.fixture
def recipe():
    """A short recipe with everything switched on."""
    return Recipe(
        epochs=3,
        images=0,
        batch_size=32,
        lr=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        schedule="linear",
        warmup_epochs=0.5,
        milestones=(),
        gamma=1.0,
        crop_padding=1,
        flip=False,
        precision="float32",
    )


@pytest.fixture
def network():
    """ResNet-8 for the digits."""
    return Network("resnet8", 1, 10, 1, 8, (0.3057,), (0.3764,))


@pytest.fixture
def digits():
    """The digits as they stand in a key."""
    return Data("digits", 1, "0" * 64)


@pytest.fixture
def init(network):
    """The initialisation of seed 0."""
    return Init(network, 0)


@pytest.fixture(scope="session")
def module_at():
    """Imports a file that is in no package, by its path."""

    def imported(path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    return imported


@pytest.fixture(scope="session")
def pretended(module_at):
    """The module of the pretended CUDA device."""
    if torch.cuda.is_available():
        pytest.skip("there is a real GPU: pytest -m gpu")
    return module_at(TESTS / "pretended.py")


@pytest.fixture(scope="session")
def made_table(module_at):
    """Makes a table of a grid with drawn values, and its facts: see ``grid`` in tests/tables.py."""
    return module_at(TESTS / "tables.py").grid
