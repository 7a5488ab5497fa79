"""Errors that come up while an experiment runs name its file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from semfid.errors import UserError


@contextlib.contextmanager
def naming(file: Path) -> Iterator[None]:
    """Put the name of a file in front of a user's mistake."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
