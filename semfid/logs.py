"""Messages of the logger ``semfid`` on the screen: results go to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from semfid.progress import write_line


class _Screen(logging.Handler):
    """A line each; warnings and what is worse begin with ``semfid: ``."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        write_line(f"semfid: {text}" if record.levelno >= logging.WARNING else text)


@contextlib.contextmanager
def messages_on_screen() -> Iterator[None]:
    """Show messages while a command runs."""
    logger, handler = logging.getLogger("semfid"), _Screen()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
