"""A scan from Python that is stored while it runs."""

import pytest
from stub_scanners import make, naming

import mp2
from mp2.errors import StoreError
from mp2.storage.runs import Store


def fail(context):
    raise mp2.SourceError("unavailable", "HTTP 500 error")


GOOD = naming("good", "AAPL", "BRK.B")
BROKEN = make("broken", fail)


def test_a_scan_is_stored_before_its_outcomes_are_observed(tmp_path):
    path = tmp_path / "mp2.db"
    begun = []
    observed = []

    def observe(event):
        if event.outcome is not None:
            with Store(path, read_only=True) as store:
                assert event.outcome in store.load_scan(begun[0]).outcomes
            observed.append(event.scanner)

    result = mp2.scan([GOOD, BROKEN], store=path, observe=observe, on_begin=begun.append)
    assert [result.scan_id] == begun
    assert result.store_error is None
    assert sorted(observed) == ["broken", "good"]
    with Store(path, read_only=True) as store:
        assert store.load_scan(result.scan_id).to_dict() == result.to_dict()
        assert [scan.scan_id for scan in store.scans()] == begun


def test_only_the_selected_scanners_are_stored(tmp_path):
    path = tmp_path / "mp2.db"
    # A single name: the shorter one is a part of it, and no scanner of this scan.
    mp2.scan([GOOD, naming("goo", "A")], store=path, only="good")
    with Store(path, read_only=True) as store:
        assert store.scans()[0].n_scanners == 1


def test_the_breakers_are_those_of_the_database(tmp_path):
    path = str(tmp_path / "mp2.db")
    config = {"scanner_execution": {"breaker_failures": 1}}
    statuses = [mp2.scan([BROKEN], store=path, config=config).outcomes[0].status for _ in range(2)]
    assert statuses == ["error", "open_circuit"]
    assert mp2.scan([BROKEN], config=config).outcomes[0].status == "error"


def test_a_store_that_fails_ends_the_storing_not_the_scan(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise StoreError("mp2.db: the disk is full")

    monkeypatch.setattr(Store, "add_outcome", refuse)
    result = mp2.scan([GOOD], store=tmp_path / "mp2.db")
    assert result.store_error == "mp2.db: the disk is full"
    assert [one.ticker for one in result.candidates] == ["AAPL", "BRK-B"]


def test_a_store_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="is a directory"):
        mp2.scan([GOOD], store=tmp_path)


def test_a_scan_that_an_error_ends_is_stored_as_failed(tmp_path):
    path = tmp_path / "mp2.db"
    with pytest.raises(ZeroDivisionError):
        mp2.scan([GOOD], store=path, observe=lambda event: 1 / 0)
    with Store(path, read_only=True) as store:
        assert store.scans()[0].status == "failed"
