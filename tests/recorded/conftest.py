"""The recorded runs, and the server that some of them asked."""

import importlib.util
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest


def _module(name):
    """A module of this folder; the tests' folders are not packages, so it is loaded by path."""
    spec = importlib.util.spec_from_file_location(
        f"recorded_{name}", Path(__file__).with_name(f"{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


cases = _module("cases")
fake_server = _module("fake_server")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The current folder: copies of the recorded runs and of what they were made from."""
    monkeypatch.chdir(tmp_path)
    for name in cases.UNWANTED:
        monkeypatch.delenv(name, raising=False)
    cases.furnish(tmp_path)


@pytest.fixture(scope="session")
def recorded():
    """The module `cases.py`."""
    return cases


@pytest.fixture(scope="session")
def serving():
    """`with serving(failing=True):` the server that the recorded runs asked."""

    @contextmanager
    def serving(*, failing=False):
        server = fake_server.Server(fake_server.PORT, failing=failing)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return serving
