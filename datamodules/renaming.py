"""``data.columns``: tables of another schema."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from semfid.errors import UserError, did_you_mean


def check_columns(given: Iterable[str], known: Sequence[str]) -> None:
    """Raise a UserError for a column that this project has no word for: mistyped, it would be carried along and never read."""
    for key in given:
        if key not in known:
            raise UserError(
                f"data.columns has no key '{key}'{did_you_mean(key, known)} (there are: {', '.join(known)})"
            )
