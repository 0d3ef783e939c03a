"""What every room asks of a value that a caller passes."""

from numbers import Integral, Real


def is_number(value: object, kind: type[Integral] | type[Real]) -> bool:
    """Whether a value is a whole or a real number."""
    # A bool is an int to Python, but `workers=True` is a mistake.
    return isinstance(value, kind) and not isinstance(value, bool)
