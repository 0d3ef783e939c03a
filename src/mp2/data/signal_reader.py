"""Read signals from any file or frame: into a panel, or those of one day."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date, timedelta
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from mp2._process import available_bytes
from mp2.data import bitset, signal_column
from mp2.data.arrays import BoolArray, WordArray, freeze
from mp2.data.column_names import ColumnNames, Finder, unknown_roles
from mp2.data.columns import CANONICAL, OUTCOME_PRICES
from mp2.data.counted_days import shift_days
from mp2.data.dates import parse_day
from mp2.data.encoding import (
    Axes,
    FoundNames,
    LongSignals,
    Market,
    Outcomes,
    arrange,
    parse_days,
)
from mp2.data.frames import joined_frame
from mp2.data.held_outcomes import HeldOutcomes
from mp2.data.holding import DAY_HOLD, Hold, Holding, holding
from mp2.data.look_ahead import look_ahead_warning
from mp2.data.opening import open_table
from mp2.data.origin import file_origin
from mp2.data.panel import SignalPanel, blocks, signal_panel
from mp2.data.prices import PriceTable, to_frame
from mp2.data.reading import Reading
from mp2.data.signal_table import Key, SignalTable, algo_numbers
from mp2.data.tables import Stop
from mp2.data.wide_signals import is_several, is_wide, wide_signals
from mp2.errors import InputError

Rates = Sequence[float] | Mapping[str, float]


def read_signals(
    source: Any,
    *,
    columns: ColumnNames | None = None,
    outcomes: Any = None,
    algos: Sequence[str] | None = None,
    days: Sequence[Any] | None = None,
    base_win_rates: Rates | None = None,
    shift: int = 0,
    hold: Hold = DAY_HOLD,
    table: str | None = None,
    query: str | None = None,
    timezone: str | None = None,
    date_format: str | None = None,
    decimal: str | None = None,
    strict: bool = False,
    stop: Stop = None,
) -> SignalPanel:
    """Read signals from a file or frame into a panel.

    `source` is a path of a file of any kind that `read_prices` reads (`table` or `query` choose
    from it), of a folder or pattern of such files, which are joined, or a polars, pandas or pyarrow
    frame: long (`algo, variation, day, ticker` and `open, close` or
    `win`, one row per buy) or, in pandas, wide and boolean as vectorbt makes them (index = time,
    column levels = parameters, ticker and, if there is one, algo). A dict of wide frames by
    algorithm, `{"MA": entries, "RSI": entries}`, or a list of them is one table. A column of 0 and
    1 or of BUY, SELL and HOLD says which rows are buys.

    The signal of day d must be known before the open of d: it is judged by the prices of that day.
    Signals that were computed at the close of their day count from the next session on with
    `shift=1`. A warning says so when they hit on their own day and not on the next.

    - `columns` maps these names to the source's own.
    - `outcomes`: a long table `day, ticker` with `open, close` or `win`, path or frame, or what
      `read_prices` returns. Wide frames need it; for a long table it takes the place of the
      table's own outcome columns. Base win rates then cover all its pairs, and the panel has its
      spelling of tickers (`mp2.data.ticker_keys`).
    - `algos` fixes the order of the algorithms (default: first appearance). `days` adds days that
      may have no buy.
    - `shift`: how many sessions after its day a signal counts. Sessions are the days of the
      outcomes, or of the table itself; signals that count after the last one are left out.
    - `hold`: the rule of outcomes (`mp2.data.holding`). One that sells on the next session needs
      `outcomes` with open and close; signals on the last session have no outcome and are left out.
    - `base_win_rates`, percent: one per day in date order, or by ISO day to replace some of the
      computed ones.
    - `strict`: what is tolerated with a warning is an error; how columns are read may be guessed.
    - `stop`, when set, ends the reading between two batches with `ReadStoppedError`.

    Raises `InputError` with everything wrong with the input; `warnings` of the panel has what is
    tolerated.
    """
    reading = Reading(
        columns=dict(columns or {}),
        table=table,
        query=query,
        timezone=timezone,
        date_format=date_format,
        decimal=decimal,
        strict=strict,
        stop=stop,
    )
    problems = unknown_roles(reading.names, (*CANONICAL, signal_column.ROLE))
    extra_days = parse_days(_as_list(days), problems, date_format)
    if not isinstance(shift, int) or shift < 0:
        raise InputError(f"shift: {shift!r} is not a number of sessions; give 0, 1 or more")
    rule = holding(hold)
    if rule.n_sessions and outcomes is None:
        problems.append(f"hold: {hold} needs prices of the next session; give outcomes")
    with _scanned(source, outcomes, reading, shift, rule) as (signals, found, market):
        problems += signals.problems
        if market is not None:
            market.join(signals.tally.name, found)
            problems += market.problems
            sessions = sorted(market.days)
            shift_days(signals, found, sessions, shift, problems, rule.n_sessions)
        if isinstance(market, HeldOutcomes):
            problems += market.problems_of_days(extra_days)
        axes = arrange(found, _as_list(algos), extra_days, problems)
        given_rates = parse_rates(base_win_rates, axes.days, problems)
        problems += memory_problems(axes)
        if problems:
            raise InputError(problems)
        panel = encode_panel(
            signals,
            axes,
            market,
            given_rates,
            shift,
            rule,
            strict=strict,
        )
    if base_win_rates is not None or not isinstance(outcomes, str | os.PathLike | None):
        return panel
    origin = file_origin(
        source,
        reading,
        outcomes=outcomes,
        algos=tuple(_as_list(algos)),
        days=tuple(str(day) for day in extra_days),
        shift=shift,
        hold=hold if rule.n_sessions else None,
    )
    return replace(panel, origin=origin)


def as_panel(source: Any, *, stop: Stop = None) -> SignalPanel:
    """Return a panel as it is; read any other source, as `read_signals` does."""
    if isinstance(source, SignalPanel):
        return source
    return read_signals(source, stop=stop)


def _as_list(values: Sequence[Any] | None) -> Sequence[Any]:
    if isinstance(values, str):
        return [values]
    return () if values is None else values


@contextmanager
def _scanned(
    source: Any,
    outcomes: Any,
    reading: Reading,
    shift: int,
    rule: Holding,
) -> Iterator[tuple[LongSignals, FoundNames, Outcomes | None]]:
    """Open signals and outcomes, and read the names of both: the first pass."""
    if is_several(source) and not is_wide(source):
        source = joined_frame(source, "signals")
    if isinstance(outcomes, PriceTable):
        outcomes = to_frame(outcomes)
    with ExitStack() as opened:
        market: Outcomes | None = None
        if outcomes is not None:
            table = opened.enter_context(open_table(outcomes, "outcomes", reading.of_file()))
            if rule.n_sessions:
                market = HeldOutcomes(table, reading.names, rule)
            else:
                market = Outcomes(table, reading.names)
            market.scan()
        if is_wide(source):
            if market is None:
                raise InputError(
                    "signals: a wide frame needs outcomes, "
                    "a table day, ticker with open, close or win"
                )
            signals, found = wide_signals(source, reading)
        else:
            table = opened.enter_context(open_table(source, "signals", reading))
            with_outcome = market is None and not shift
            signals = LongSignals(table, reading.names, with_outcome=with_outcome)
            found = signals.scan()
            if shift and market is None:
                # A shifted signal has its outcome in other rows, if at all.
                market = Outcomes(table, reading.names, repeats=True)
                market.scan()
        yield signals, found, market


def parse_rates(
    given: Rates | None,
    days: Sequence[date],
    problems: list[str],
) -> dict[int, float]:
    """Return the caller's base win rates by day number."""
    rates: dict[int, float] = {}
    if given is None or not days:
        return rates
    # A difference in length is a problem of its own.
    items: Any = zip(days, given, strict=False)
    if isinstance(given, Mapping):
        items = given.items()
    elif len(given) != len(days):
        problems.append(
            f"base_win_rates: {len(given)} given for {len(days)} days; give one for each"
        )
    for text, rate in items:
        if not (isinstance(rate, Real) and 0 <= float(rate) <= 100):
            problems.append(f"base_win_rates: {rate!r} is not a percentage between 0 and 100")
        day = parse_day(str(text))
        if day in days:
            rates[days.index(day)] = rate
        else:
            problems.append(f"base_win_rates: {text!r} is not among the days; add it with days")
    return rates


def encoding_bytes(axes: Axes) -> int:
    """Return the bytes that `encode` takes: two arrays by variation, and two by day."""
    day_bytes = 8 * len(axes.days) * bitset.n_words(len(axes.tickers))
    return day_bytes * 2 * (len(axes.variations) + 1)


def memory_problems(axes: Axes) -> list[str]:
    """Return the problem of a panel that needs more memory than there is.

    To be checked before the allocation, which many systems grant and end the process for later.
    """
    free_bytes = available_bytes()
    if free_bytes is None or encoding_bytes(axes) <= free_bytes:
        return []
    return [too_large(axes, f" and {free_bytes / 2**20:,.1f} MB are available")]


def too_large(axes: Axes, available: str = "") -> str:
    """Return the problem of a panel that does not fit into memory."""
    return (
        f"the panel is larger than memory: {len(axes.variations)} variations x "
        f"{len(axes.days)} days x {len(axes.tickers)} tickers take "
        f"{encoding_bytes(axes) / 2**20:,.1f} MB to encode{available}; drop variations or days"
    )


# --- encoding ------------------------------------------------------------------------------------


class Encoded(NamedTuple):
    """Buys and their wins uint64[V, D, W]; by (day, ticker), bool[D, T], what rows say of both.

    `won`: a row that need not be a buy wins, where not all are buys. `priced`: it counts for the
    base win rates.
    """

    buys: WordArray
    wins: WordArray
    won: BoolArray
    priced: BoolArray


def encode(
    signals: LongSignals,
    axes: Axes,
    market: Market | None,
) -> Encoded:
    """Read the signals into arrays of two packed panels."""
    n_days = len(axes.days)
    n_tickers = len(axes.tickers)
    n_words = bitset.n_words(n_tickers)
    shape = (len(axes.variations), n_days, n_words)
    try:
        buys = np.zeros(shape, np.uint64)
        wins = np.zeros(shape, np.uint64)
    except MemoryError as error:
        raise InputError(too_large(axes)) from error
    won = np.zeros((n_days, n_tickers), np.bool_)
    priced = np.zeros((n_days, n_tickers), np.bool_)
    for variation, day, ticker, is_won, is_priced, bought in signals.rows(axes, market):
        priced[day[is_priced], ticker[is_priced]] = True
        sets = (variation * n_days + day) * n_words
        is_hit = is_won
        if bought is None:
            bitset.set_bits(buys.reshape(-1), sets, ticker)
        else:
            won[day[is_won], ticker[is_won]] = True
            bitset.set_bits(buys.reshape(-1), sets[bought], ticker[bought])
            is_hit = is_won & bought
        bitset.set_bits(wins.reshape(-1), sets[is_hit], ticker[is_hit])
    return Encoded(buys, wins, won, priced)


def encode_panel(
    signals: LongSignals,
    axes: Axes,
    outcomes: Outcomes | None,
    given_rates: Mapping[int, float],
    shift: int,
    rule: Holding,
    *,
    strict: bool,
) -> SignalPanel:
    """Read signals and outcomes a second time, into a panel; `strict`: a warning is an error."""
    market = outcomes.load(axes) if outcomes else None
    buys, all_wins, won, priced = encode(signals, axes, market)
    wins: WordArray = np.bitwise_or.reduce(all_wins, axis=0)
    won |= bitset.unpack(wins, len(axes.tickers))
    if market is not None:
        _, won, priced = market
    n_priced = priced.sum(axis=1)
    n_won = (priced & won).sum(axis=1)
    rates = 100.0 * n_won / np.maximum(n_priced, 1)
    for number, rate in given_rates.items():
        rates[number] = rate
    # In blocks: a difference of whole panels would take as much memory again.
    n_buys = 0
    is_consistent = True
    for block in blocks(buys):
        n_buys += int(bitset.count(buys[block]).sum())
        # Consistent: every buy of a (day, ticker) that wins in some row is a win.
        is_consistent &= np.array_equal(buys[block] & wins, all_wins[block])
    signals.warn_of_spellings(axes.spellings)
    guesses = signals.guesses
    warnings = signals.warnings
    if outcomes:
        guesses += outcomes.guesses
        warnings += outcomes.warnings
    signals.warn(*signals.tally.warnings(n_buys, "(variation, day, ticker)"))
    if not is_consistent:
        wins = all_wins
        signals.warn(
            "some (day, ticker) win in some rows and lose in others; each buy keeps its own"
        )
    panel = signal_panel(
        **_axis_fields(axes),
        buys=buys,
        wins=wins,
        base_win_rates=rates,
        known=bitset.pack(priced),
        won=bitset.pack(priced & won),
        hold=rule.name,
        last_exit=_last_exit(outcomes, axes),
    )
    if is_consistent:
        # Without a table of outcomes, all that is known may be the outcomes of buys.
        is_own = outcomes is None or outcomes.repeats
        only_bought = is_own and not signals.more
        doubt = look_ahead_warning(
            panel,
            won,
            priced,
            only_bought=only_bought,
            shift=shift,
            rule=rule,
        )
        if doubt:
            signals.warn(doubt)
    if strict and warnings:
        raise InputError(warnings)
    return replace(panel, warnings=(*guesses, *warnings))


def _last_exit(outcomes: Outcomes | None, axes: Axes) -> str | None:
    """Return the session after the last day, where the rule sells on it."""
    if isinstance(outcomes, HeldOutcomes):
        return str(outcomes.exit_day(axes.days[-1]))
    return None


def _axis_fields(axes: Axes) -> dict[str, Any]:
    """Return the fields of a table of signals that its axes say."""
    algo_names = [algo for algo, _ in axes.variations]
    return {
        "algos": axes.algos,
        "variations": tuple(variation for _, variation in axes.variations),
        "algo_of": algo_numbers(axes.algos, algo_names),
        "days": tuple(day.isoformat() for day in axes.days),
        "tickers": axes.tickers,
    }


# --- one day -------------------------------------------------------------------------------------


def read_day_signals(
    source: Any,
    *,
    day: str | None,
    shift: int,
    after: str,
    expected: Collection[Key],
    reading: Reading,
) -> tuple[SignalTable, bool]:
    """Read the signals of one day for a run, and whether its outcome may be known.

    `source` is as in `read_signals`; outcome columns are not required. `day` is by default the
    table's first day later than `after`, the run's last one. `expected`: the variations of the
    run's kept groups. A table of buys does not show variations that bought nothing, so those
    that it lacks are added as such, with a warning. The outcome is unknown when the table has
    prices and none of that day. With a `shift` the signals of the table's last day count on the
    next weekday, or on the day asked for if that is later.

    Raises `InputError` with everything wrong with the table, when it does not have the day, or none
    of the expected variations.
    """
    names = reading.names
    problems = unknown_roles(names, (*CANONICAL, signal_column.ROLE))
    asked = parse_days([] if day is None else [day], problems, reading.date_format)
    with open_table(source, "signals", reading) as opened:
        # A day to pick for has no outcome yet; where there are prices they show that.
        finder = Finder(opened, names)
        has_prices = all(finder.find(role) for role in OUTCOME_PRICES)
        signals = LongSignals(
            opened,
            names,
            with_outcome=has_prices,
        )
        found = signals.scan()
        problems += signals.problems
        table_days = found.days
        if shift and table_days:
            sessions = sorted(table_days.union(asked))
            tomorrow = sessions[-1] + timedelta(days=1)
            weekday = np.busday_offset(tomorrow, 0, roll="forward")
            sessions.append(date.fromisoformat(str(weekday)))
            shift_days(signals, found, sessions, shift, problems)
        silent = add_silent(found, expected, opened.name, problems)
        axes = arrange(found, (), (), problems)
        wanted = f"on {asked[0]}" if asked else f"after the run's last day {after}"
        later = [known for known in axes.days if known.isoformat() > after]
        chosen = [known for known in asked or later if known in axes.days][:1]
        if axes.days and not chosen:
            problems.append(
                f"{opened.name}: no row {wanted}; its days end at {axes.days[-1]}; "
                "give signals of the day to pick for"
            )
        if problems:
            raise InputError(problems)
        day_idx = axes.days.index(chosen[0])
        encoded = encode(signals, axes, None)
        # A copy, so that the other days' arrays can go.
        buys = np.ascontiguousarray(encoded.buys[:, [day_idx]])
        freeze([buys])
        signals.warn_of_spellings(axes.spellings)
        if reading.strict and signals.warnings:
            raise InputError(signals.warnings)
        signal_table = SignalTable(
            **_axis_fields(replace(axes, days=tuple(chosen))),
            buys=buys,
            warnings=(*signals.guesses, *signals.warnings, *silent),
        )
        has_outcome = bool(encoded.priced[day_idx].any())
        if shift:
            has_outcome = chosen[0] in table_days
        return signal_table, has_outcome


def add_silent(
    found: FoundNames,
    expected: Collection[Key],
    table: str,
    problems: list[str],
) -> list[str]:
    """Add the expected variations without a row to `found`; return the warning about it."""
    silent = sorted(set(expected).difference(found.variations))
    if not silent or not found.variations:
        return []
    example = " ".join(silent[0])
    if len(silent) == len(expected):
        problems.append(
            f"{table}: holds none of the run's variations, such as {example!r}; "
            "give signals of the same grids"
        )
        return []
    found.variations.update(dict.fromkeys(silent))
    return [
        f"{table}: variations of kept groups without any row: {len(silent)}, "
        f"such as {example!r}; they count as no buy"
    ]
