"""Fixtures of all tests."""

import gc
import os
import signal
import sys

import hypothesis
import pytest

# A slow example depends on the machine, not on the code.
hypothesis.settings.register_profile("usual", deadline=None, max_examples=30)
hypothesis.settings.register_profile("full", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=5)
hypothesis.settings.load_profile("usual")

# Pytest rewrites every assertion, and a command compiles its modules: once, not in every run.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The tables of tests are small: to wake a pool of threads takes longer than the work.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

# Started by nohup or in the background, the tests and their commands would ignore these signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish():
    """Look for garbage more rarely, and not among the tests, which stay to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def no_state_of_the_user(tmp_path_factory):
    """Keep responses and quotas out of the state folder of the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def endless_table(tmp_path_factory):
    """The path of a table whose search outlasts every test when the floor is off."""
    from signal_tables import make_signals

    path = tmp_path_factory.mktemp("endless") / "signals.parquet"
    make_signals().signals.write_parquet(path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, so without a database or settings; also none from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in [name for name in os.environ if name.startswith("MP2_") and name != "MP2_SIMD"]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def mp2(capsys, here):
    """Runs a command in this process; returns exit code, stdout and stderr."""
    from mp2.cli.main import main

    def run(*args):
        with pytest.raises(SystemExit) as caught:
            main([str(arg) for arg in args])
        return caught.value.code, *capsys.readouterr()

    return run
