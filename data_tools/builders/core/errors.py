"""What can go wrong with one unit of work, and leaves the others alone."""

from __future__ import annotations

from semfid.errors import ImageError, UserError


class UnitError(UserError):
    """One unit cannot be made; the text becomes its row's reason."""


UNIT_FAULTS = (UnitError, ImageError, ArithmeticError, LookupError, RuntimeError, ValueError)
"""What a unit may raise and be a row for it. Other user errors (a full disk, a model that cannot be had) stop the build."""


def reason_of(error: BaseException) -> str:
    """One line for a row: the text of an error that was meant for the user, else with its kind."""
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
