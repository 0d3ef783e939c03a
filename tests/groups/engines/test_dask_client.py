"""Addresses of schedulers: who may be reached how, and what is said of those that may not."""

import json
import sys

import pytest

from mp2.errors import InputError, MissingExtraError
from mp2.groups.engines.dask import DaskEngine
from mp2.groups.engines.dask_client import TlsFiles, address_of, connected


@pytest.fixture
def dask():
    pytest.importorskip("distributed", reason="pip install 'mp2[dask]'")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://10.0.0.1:8786", "neither encrypted nor checked"),
        ("head:8786", "tcp://head:8786 is neither encrypted nor checked"),
        ("ws://head:8786", "not an address such as"),
        ("tls://head:8786", r"needs the files .* \[dask_tls\]"),
        ("absent.json", "absent.json: No such file"),
    ],
)
def test_addresses_that_cannot_be_used(address, message):
    with pytest.raises(InputError, match=message), connected(address):
        pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "192.0.2.1:8786"])
def test_nothing_answers(address, dask, monkeypatch):
    monkeypatch.setattr("mp2.groups.engines.dask_client.CONNECT_S", 0.5)
    with (
        pytest.raises(InputError, match="no scheduler answers at tcp://"),
        connected(address, insecure=True),
    ):
        pass


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"mp2\[dask\]"), connected("localhost:8786"):
        pass


def test_a_scheduler_file(tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tls://far:1"}))
    assert address_of(str(file)) == "tls://far:1"
    file.write_text("{}")
    with pytest.raises(InputError, match="is not a scheduler file"):
        address_of(str(file))


@pytest.mark.slow
def test_files_that_do_not_fit(tmp_path, dask):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    files = TlsFiles(ca_file=wrong, cert=wrong, key=wrong)
    with (
        pytest.raises(InputError, match="no scheduler answers"),
        connected("tls://127.0.0.1:1", files),
    ):
        pass


def test_an_asynchronous_client_is_refused():
    class Asynchronous:
        asynchronous = True

    with pytest.raises(InputError, match="not asynchronous"):
        DaskEngine(Asynchronous())
