"""`semfid study backup`."""

from __future__ import annotations

import argparse

from user_study.errors import StudyError


def run(arguments: argparse.Namespace) -> int:
    """Not yet."""
    raise StudyError("not built yet")
