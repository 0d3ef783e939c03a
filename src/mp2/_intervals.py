"""How often waiting threads wake up without being notified."""

import math
from numbers import Real

from mp2._checks import is_number
from mp2.errors import InputError

POLL_S = 0.05
"""Between two looks at a deadline or a stop event.

A thread can wait for one event only, so it wakes at this interval to check the others. A stop is
noticed 25 ms late on average, which no user sees; waking more often would only take time from the
scanners of the same process.
"""

DISPLAY_S = 0.2
"""Between two updates of a live display, or two chances for Ctrl-C in the main thread.

Five updates a second are as many as an eye follows. Before Python 3.14, Windows runs signal
handlers only between two waits of the main thread.
"""


def check_interval(name: str, seconds: object) -> None:
    """Raise `InputError` unless a setting is a number of seconds from 0 up."""
    # NaN fails every comparison.
    if not is_number(seconds, Real) or not 0 <= float(seconds) < math.inf:  # type: ignore[arg-type]
        raise InputError(f"{name}: {seconds!r} is not a number of seconds from 0 up")
