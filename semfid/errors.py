"""The one kind of error that a user causes and can fix."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can fix. The text is one line that names the place and the fix; the command exits with 2."""

    def __init__(self, message: str = "") -> None:
        # torch raises a DataLoader worker's error again with the worker's traceback as its text
        if message.startswith("Caught ") and "\nOriginal Traceback" in message:
            message = message.strip().splitlines()[-1].partition(": ")[2]
        super().__init__(message)


class ImageError(UserError):
    """An image file that is missing or cannot be decoded."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'a' or 'b'?`` or nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(match) for match in close)}?" if close else ""


def deprecated(message: str) -> None:
    """Warn, once a message, that something is taken for one version only; the message gives what takes its place."""
    if message not in _WARNED:
        _WARNED.add(message)
        logging.getLogger("semfid").warning("%s; the old one is taken until the next version", message)


_WARNED: set[str] = set()
