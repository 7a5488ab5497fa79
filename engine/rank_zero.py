"""What one of several processes says and shows: the one that writes."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

from lightning.pytorch.utilities import rank_zero_only

import semfid.progress
from semfid.progress import Advance


def is_rank_zero() -> bool:
    """Whether this process is the one that writes."""
    return not getattr(rank_zero_only, "rank", 0)


def progress(title: str) -> AbstractContextManager[Advance]:
    """`semfid.progress.progress`, shown by one process only."""
    return semfid.progress.progress(title, shown=is_rank_zero())


log = logging.getLogger("semfid.engine")
log.addFilter(lambda record: is_rank_zero())
