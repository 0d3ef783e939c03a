"""`mp2.track`: the record of the stored picks of every configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mp2.picks.costs import check_cost
from mp2.picks.track import ConfigurationRecord, PickedDay, TrackRecord, configuration_record
from mp2.storage.configuration import configuration_of
from mp2.storage.inputs import PathText
from mp2.storage.request import Request
from mp2.storage.runs import Store


def track(store: PathText | Store, *, cost_bps: float | None = None) -> TrackRecord:
    """Return how all scored picks of a store did, by configuration, the one used last first.

    A configuration is the source and the settings that decide which tickers a run picks; budget,
    workers and the days searched do not count. A day counts once in it, as
    `mp2.picks.track.one_per_day` says. Prices are those that `mp2 outcome` judged the day by, as
    they were known on it. `cost_bps` is what buying and selling cost each, in hundredths of a
    percent, by default the cost that the configuration's last run was given.

    `store`: the path of a database, or an open one. Raises `InputError` when there is none and for
    an unusable cost, `StoreError` when it cannot be read; runs that cannot be read back are left
    out with a warning.
    """
    if cost_bps is not None:
        check_cost(cost_bps)
    picked_of: dict[str, list[PickedDay]] = {}
    last_of: dict[str, Request] = {}
    with _opened(store) as opened:
        # Of an open store only the problems of this call.
        n_former = len(opened.problems)
        for request, days in opened.picked_days():
            key = configuration_of(request).key
            # The one used last comes last.
            picked_of[key] = [*picked_of.pop(key, ()), *days]
            last_of[key] = request
        warnings = tuple(opened.problems[n_former:])
    records = [
        _record(last_of[key], picked, cost_bps) for key, picked in reversed(picked_of.items())
    ]
    return TrackRecord(configurations=tuple(records), warnings=warnings)


def record_of(
    store: Store,
    request: Request,
    *,
    cost_bps: float | None = None,
) -> ConfigurationRecord | None:
    """Return the record of the configuration of `request`; None while no pick of it is scored.

    `request` is that of a run, such as `store.load_request(run_id)`. The result has `sentence()`:
    days, hit rate against the universe's on the same days, 95% interval, verdict, mean return, and
    after costs where `cost_bps`, by default that of the request, is not 0.
    """
    wanted = configuration_of(request)
    picked: list[PickedDay] = []
    for _, days in store.picked_days(lambda other: configuration_of(other) == wanted):
        picked += days
    record = _record(request, picked, cost_bps)
    return record if record.days else None


def _record(
    request: Request,
    picked: list[PickedDay],
    cost_bps: float | None,
) -> ConfigurationRecord:
    configuration = configuration_of(request)
    return configuration_record(
        configuration.key,
        configuration.label,
        configuration.settings,
        picked,
        request.cost_bps if cost_bps is None else cost_bps,
    )


@contextmanager
def _opened(store: PathText | Store) -> Iterator[Store]:
    """Yield an open store as it is, and one at a path open for reading."""
    if isinstance(store, Store):
        yield store
        return
    with Store(Path(store), read_only=True) as opened:
        yield opened
