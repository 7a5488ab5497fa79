"""`semfid study backup`."""

from __future__ import annotations

import argparse

from user_study.core.folder import open_study
from user_study.exports.backup import RESTORE, backup


def run(arguments: argparse.Namespace) -> int:
    """Copy the whole study, also while it is served."""
    with open_study(arguments.folder) as folder:
        out = backup(folder.database, folder.images, arguments.out)
        kind = folder.database.dialect
    print(f"{out}: everything of {arguments.folder}, personal data included; keep it as safe as the study")
    print(f"  to restore: {RESTORE[kind]}")
    return 0
