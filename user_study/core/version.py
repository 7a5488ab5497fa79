"""Which program stored an answer."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """The installed version; ``0`` where the package is not installed."""
    try:
        return metadata.version("semfid")
    except metadata.PackageNotFoundError:
        return "0"
