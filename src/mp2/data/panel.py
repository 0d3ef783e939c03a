"""SignalPanel: the signals and outcomes that a search works on, as packed, read-only arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mp2.data import bitset
from mp2.data.arrays import (
    AnyArray,
    FloatArray,
    IndexArray,
    NumberArray,
    WordArray,
    freeze,
)
from mp2.data.arrays import fingerprint as fingerprint_of
from mp2.data.holding import DAY_HOLD, Hold
from mp2.data.origin import FileOrigin
from mp2.data.signal_table import SignalTable
from mp2.errors import InputError

# Bytes of a panel that are processed at once, so that temporary arrays stay small.
BLOCK_BYTES = 8 << 20

# `late` is asked once a block. Blocks of this size take a few milliseconds, so setup ends on time.
_TIMED_BLOCK_BYTES = 1 << 20
_TIMED_BLOCK_ROWS = 1000


def never() -> bool:
    """Return False: the default of `late`, for callers without a time limit."""
    return False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class SignalPanel(SignalTable):
    """Which variation buys which ticker on which day, and which of the tickers won.

    With V variations of A algorithms, D days, T tickers and W = n_words(T):

    - `algos`: A names, in order. `variations`: V names, in variation-number order; `algo_of`
      int32[V]: the algorithm of each variation, never falling.
    - `days`: D ISO dates, ascending. `tickers`: T names, alphabetical.
    - `buys` uint64[V, D, W]: sets of bought tickers; bit t is `tickers[t]`.
    - `wins`, a subset of the buys: uint64[D, W] when consistent (a win depends on day and ticker
      alone), else uint64[V, D, W].
    - `base_win_rates` float64[D], percent.
    - `known` uint64[D, W]: the tickers whose outcome on a day is known, over which the base win
      rates are, bought or not; `won` uint64[D, W]: those of them that won. None: those bought.
    - `hold`: the rule by which tickers won. `last_exit`: the ISO date on which it sells what is
      bought on the last day; None for that day itself.
    - `warnings`: what was tolerated, one line each. `fingerprint`: sha256 of the content, hex.
    - `origin`: the file the panel was read from; None for others.

    All arrays are C-contiguous and read-only. Raises `InputError` for arrays that do not belong
    together: the kernel trusts what it gets.
    """

    wins: WordArray
    base_win_rates: FloatArray
    fingerprint: str
    origin: FileOrigin | None = None
    known: WordArray | None = None
    won: WordArray | None = None
    hold: Hold = DAY_HOLD
    last_exit: str | None = None

    def __post_init__(self) -> None:
        n_days = len(self.days)
        n_words = bitset.n_words(len(self.tickers))
        shape = (len(self.variations), n_days, n_words)
        win_shapes = (shape, shape[1:])
        _check_array("algo_of", self.algo_of, np.int32, [shape[:1]])
        _check_array("buys", self.buys, np.uint64, [shape])
        _check_array("wins", self.wins, np.uint64, win_shapes)
        _check_array("base_win_rates", self.base_win_rates, np.float64, [(n_days,)])
        for name, sets in (("known", self.known), ("won", self.won)):
            if sets is not None:
                _check_array(name, sets, np.uint64, [shape[1:]])
        steps = np.diff(self.algo_of, prepend=0, append=max(0, len(self.algos) - 1))
        if (steps < 0).any():
            raise InputError("panel: algo_of must hold positions in algos that never fall")
        # In the last word of a set; NumPy shifts by 64 bits to what the processor makes of it.
        n_used_bits = len(self.tickers) - 64 * (n_words - 1)
        if n_words and n_used_bits < 64:
            for name, sets in (("buys", self.buys), ("wins", self.wins)):
                if (sets[..., -1] >> np.uint64(n_used_bits)).any():
                    raise InputError(f"panel: {name} holds more than {len(self.tickers)} tickers")

    @property
    def consistent(self) -> bool:
        """Whether a win depends on (day, ticker) alone."""
        return self.wins.ndim == 2

    @property
    def n_variations(self) -> int:
        """V, over all algorithms."""
        return len(self.variations)

    @property
    def variations_per_algo(self) -> tuple[int, ...]:
        """The number of variations of each algorithm, in order."""
        counts = np.bincount(self.algo_of, minlength=len(self.algos))
        return tuple(counts.tolist())

    @property
    def n_buys(self) -> IndexArray:
        """int64[V]: the number of (day, ticker) that each variation buys."""
        return buys_of(self)

    @property
    def alias_of(self) -> NumberArray:
        """int32[V]: the first variation of the same algorithm with the same buys and wins.

        Most variations are their own alias. Computed at every call, in one pass over the panel.
        """
        return first_alike(self)

    @property
    def buys_per_day(self) -> tuple[int, ...]:
        """The number of buys of each day, summed over the variations."""
        totals = np.zeros(len(self.days), np.int64)
        for block in blocks(self.buys):
            totals += bitset.count(self.buys[block]).sum(axis=0)
        return tuple(totals.tolist())

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.algo_of, self.buys, self.wins, self.base_win_rates)
        return sum(array.nbytes for array in arrays)


def _check_array(
    name: str,
    array: AnyArray,
    dtype: type,
    shapes: Sequence[tuple[int, ...]],
) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape not in shapes:
        expected = " or ".join(str(list(shape)) for shape in shapes)
        raise InputError(f"panel: {name} has to be a {np.dtype(dtype)} array of shape {expected}")
    if not array.flags.c_contiguous:
        raise InputError(f"panel: {name} has to be C-contiguous; np.ascontiguousarray makes it so")


def signal_panel(
    *,
    algos: Sequence[str],
    variations: Sequence[str],
    algo_of: NumberArray,
    days: Sequence[str],
    tickers: Sequence[str],
    buys: WordArray,
    wins: WordArray,
    base_win_rates: FloatArray,
    known: WordArray | None = None,
    won: WordArray | None = None,
    hold: Hold = DAY_HOLD,
    last_exit: str | None = None,
    warnings: Sequence[str] = (),
) -> SignalPanel:
    """Make a panel of arrays that keep the promises of `SignalPanel`.

    The arrays are not copied; they become read-only.
    """
    arrays = (algo_of, buys, wins, base_win_rates)
    freeze(arrays)
    freeze(sets for sets in (known, won) if sets is not None)
    return SignalPanel(
        algos=tuple(algos),
        variations=tuple(variations),
        algo_of=algo_of,
        days=tuple(days),
        tickers=tuple(tickers),
        buys=buys,
        wins=wins,
        base_win_rates=base_win_rates,
        known=known,
        won=won,
        hold=hold,
        last_exit=last_exit,
        warnings=tuple(warnings),
        fingerprint=fingerprint_of((algos, variations, days, tickers), arrays),
    )


def buys_of(
    panel: SignalPanel,
    late: Callable[[], bool] = never,
) -> IndexArray:
    """Count the buys of each variation: `panel.n_buys`.

    Stops once `late()` is true; the variations that are left have 0 then.
    """
    rows = panel.buys.reshape(len(panel.buys), -1)
    counts = np.zeros(len(rows), np.int64)
    for block in blocks(rows, _TIMED_BLOCK_BYTES):
        if late():
            break
        counts[block] = bitset.count(rows[block])
    return counts


def first_alike(
    panel: SignalPanel,
    late: Callable[[], bool] = never,
) -> NumberArray:
    """Find the alias of each variation: `panel.alias_of`.

    Stops once `late()` is true; the variations that are left are their own aliases then.
    """
    n_variations = len(panel.algo_of)
    tables = [panel.buys]
    if not panel.consistent:
        tables.append(panel.wins)
    # Python's own numbers: single look-ups in an array are slow.
    algo_of = panel.algo_of.tolist()
    aliases = np.arange(n_variations, dtype=np.int32)
    first_of: dict[tuple[int, ...], int] = {}
    for block in blocks(panel.buys, _TIMED_BLOCK_BYTES, _TIMED_BLOCK_ROWS):
        if late():
            break
        for v in range(n_variations)[block]:
            # Hashes, since the rows as keys would take the panel's memory again.
            hashes = [hash(table[v].tobytes()) for table in tables]
            first = first_of.setdefault((algo_of[v], *hashes), v)
            # Rows of equal hash may still differ.
            if first != v and all(np.array_equal(table[first], table[v]) for table in tables):
                aliases[v] = first
    return aliases


def blocks(
    array: AnyArray,
    n_bytes: int = BLOCK_BYTES,
    n_rows: int = 1 << 30,
) -> Iterator[slice]:
    """Cut the first axis of an array into slices of at most `n_bytes` and `n_rows`."""
    rows_of_size = n_bytes * len(array) // max(1, array.nbytes)
    step = min(n_rows, max(1, rows_of_size))
    for first in range(0, len(array), step):
        yield slice(first, first + step)
