"""What a stored run was asked to do: enough to do it again.

The record is written when the run begins, by the API and the command line alike, and read when it
is resumed. A field that is added later needs a default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from mp2._document import Document, Names
from mp2._files import expanded
from mp2.data.holding import DAY_HOLD, Hold
from mp2.evidence.settings import LuckSettings
from mp2.groups.settings import SearchSettings


def _to_path(value: object) -> Path:
    # Not validated as text: a name in a file system need not be Unicode.
    if not isinstance(value, str | Path):
        raise ValueError("not a path")
    return Path(value)


StoredPath = Annotated[
    Path,
    PlainValidator(_to_path),
    # Absolute: a run may be resumed from another folder.
    PlainSerializer(lambda path: str(expanded(path).absolute()), return_type=str),
]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class _TableFile(_Record):
    """A table on disk; the other fields say how to read it, as those of `mp2.data.reading`."""

    path: StoredPath
    columns: dict[str, str] = {}
    table: str | None = None
    query: str | None = None
    timezone: str | None = None
    date_format: str | None = None
    decimal: Literal[".", ","] | None = None
    strict: bool = False

    def reading(self) -> Document:
        """The arguments that the readers of all tables share."""
        return self.model_dump(include=set(_TableFile.model_fields) - {"path"})


class SignalsFile(_TableFile):
    """A table of signals on disk and how to read it; the fields are those of `mp2.read_signals`."""

    kind: Literal["signals"] = "signals"
    outcomes: StoredPath | None = None
    algos: Names = ()
    days: Names = ()
    shift: int = 0


class PricesFile(_TableFile):
    """Daily bars on disk and how to read them; the fields are those of `mp2.read_prices`."""

    kind: Literal["prices"] = "prices"
    adjusted: Literal["auto", "yes", "no"] = "auto"
    ticker: str | None = None


class DemoPrices(_Record):
    """The synthetic market of `mp2 demo`."""

    kind: Literal["demo"] = "demo"
    seed: int = 0
    plant: bool = True


class InMemory(_Record):
    """A panel of signals or a price table that the caller passed, and has to pass again."""

    kind: Literal["memory"] = "memory"
    holds: Literal["signals", "prices", "sectors"]


Source = SignalsFile | PricesFile | DemoPrices | InMemory


class SignalSettings(_Record):
    """How signals are computed from prices.

    `grids`: a TOML file, None for the default grids. `grids_in_memory`: the caller passed grids,
    and has to pass them again.
    """

    n_days: int = 5
    end: str | None = None
    grids: StoredPath | None = None
    grids_in_memory: bool = False


class PickSettings(_Record):
    """How picks are made for the next day; the fields are those of `mp2.pick_day`."""

    min_tickers: int = 1
    top_groups: int = 50


class LuckRequest(_Record):
    """How the result is tested, and what the null models need beside the signals.

    `prices`: the daily bars for a table of signals; prices that are searched are their own.
    """

    settings: LuckSettings = LuckSettings(replicates=0)
    prices: PricesFile | InMemory | None = None
    sectors: StoredPath | InMemory | None = None


class Request(_Record):
    """A run: where its input is and what is done with it. `signals` and `picks` apply to prices.

    `hold`: the rule of outcomes. `cost_bps`: the cost of trading its picks, per side.
    """

    source: Annotated[Source, Field(discriminator="kind")]
    search: SearchSettings
    signals: SignalSettings = SignalSettings()
    picks: PickSettings = PickSettings()
    luck: LuckRequest = LuckRequest()
    hold: Hold = DAY_HOLD
    cost_bps: float = 0.0

    def to_dict(self) -> Document:
        """The request as the store keeps it, paths absolute."""
        return self.model_dump(warnings=False)

    @property
    def files(self) -> list[Path]:
        """The files that the run reads."""
        files = [
            getattr(self.source, "path", None),
            getattr(self.source, "outcomes", None),
            self.signals.grids,
            getattr(self.luck.prices, "path", None),
            self.luck.sectors if isinstance(self.luck.sectors, Path) else None,
        ]
        return [path for path in files if path is not None]

    @property
    def shift(self) -> int:
        """How many sessions after their day the signals count."""
        return self.source.shift if isinstance(self.source, SignalsFile) else 0

    @property
    def label(self) -> str:
        """The source as a list of runs shows it."""
        if isinstance(self.source, SignalsFile | PricesFile):
            return str(self.source.path)
        if isinstance(self.source, DemoPrices):
            return f"demo --seed {self.source.seed}"
        return f"{self.source.holds} in memory"

    @property
    def name(self) -> str:
        """The source in a few words: the name of its file, without the folder."""
        return Path(self.label).name


class WalkRequest(_Record):
    """A walk-forward over `weeks` weeks: `run` is what is done in each of them.

    Its `signals.end` is the last day judged.
    """

    run: Request
    weeks: int

    def to_dict(self) -> Document:
        """The request as the store keeps it, paths absolute."""
        return self.model_dump(warnings=False)
