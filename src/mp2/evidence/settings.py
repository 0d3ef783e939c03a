"""What a caller decides about the test whether a result is luck."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from mp2._checks import is_number
from mp2.errors import InputError

NULLS = ("auto", "days", "sectors", "tickers")
N_DONORS = 80
GAP_DAYS = 20
N_REPLICATES = 999
MIN_REPLICATES = 19
MAX_REPLICATES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LuckSettings:
    """How a result is tested. Raises one `InputError` with all settings that cannot be used.

    - `replicates`: 19..1,000,000 searches of drawn outcomes; 0 for no test.
    - `null`: the null model, one of `mp2.evidence.nulls.NULLS`; "auto" takes the best possible one.
    - `seed`: of the draws, 0..2^64 - 1.
    - `n_donors`, `gap_days`: of the null model "days", see `choose_null`.
    """

    replicates: int = N_REPLICATES
    null: str = "auto"
    seed: int = 0
    n_donors: int = N_DONORS
    gap_days: int = GAP_DAYS

    def __post_init__(self) -> None:
        """Raise one `InputError` that lists every setting a test cannot use."""
        problems = []
        replicates = self.replicates
        if not is_number(replicates, Integral) or not (
            replicates == 0 or MIN_REPLICATES <= replicates <= MAX_REPLICATES
        ):
            problems.append(
                f"replicates: {replicates!r} is not a whole number between {MIN_REPLICATES} and "
                f"{MAX_REPLICATES:,}; 0 switches the test off"
            )
        if self.null not in NULLS:
            problems.append(f"null: {self.null!r} is unknown; choose from {', '.join(NULLS)}")
        if not is_number(self.seed, Integral) or not 0 <= self.seed < 2**64:
            problems.append(f"seed: {self.seed!r} is not a whole number between 0 and 2^64 - 1")
        for name, least in (("n_donors", 1), ("gap_days", 0)):
            value = getattr(self, name)
            if not is_number(value, Integral) or value < least:
                problems.append(f"{name}: {value!r} is not a positive whole number")
        if problems:
            raise InputError(problems)

    @property
    def is_on(self) -> bool:
        """Whether there is a test."""
        return self.replicates != 0

    def check_is_on(self) -> None:
        """Raise `InputError` where a test is the whole job and there is none."""
        if not self.is_on:
            raise InputError("replicates: 0 tests nothing; give 19 or more")
