"""What CI runs without a network has none where the system lets that be, and runs all the same where not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parents[2] / "ci" / "offline"
#: What listens here, on this machine, is not there in a network of one's own.
REACHES = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="is a script for a shell")


@pytest.fixture
def port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def ended(port, **environment):
    command = [str(OFFLINE), sys.executable, "-c", REACHES, str(port)]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment}).returncode


def test_no_network_is_reached(port):
    if subprocess.run(["sh", "-c", "unshare -rn true"], capture_output=True).returncode:
        pytest.skip("no network of one's own here")
    assert ended(port) == 1


def test_the_command_runs_where_networks_cannot_be_unshared(port, tmp_path):
    (tmp_path / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    assert ended(port, PATH=f"{tmp_path}:{os.environ['PATH']}") == 0


def test_words_and_exit_code_are_those_of_the_command():
    done = subprocess.run([OFFLINE, "sh", "-c", 'echo "$1"; exit 3', "sh", "a  b"], capture_output=True)
    assert (done.returncode, done.stdout) == (3, b"a  b\n")
