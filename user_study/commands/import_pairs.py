"""`semfid study import`."""

from __future__ import annotations

import argparse
import sys

from semfid.progress import progress
from user_study.core.folder import open_study
from user_study.imports.import_pairs import import_pairs, inspect
from user_study.imports.sources import ImportOptions


def run(arguments: argparse.Namespace) -> int:
    """Add pairs, or say what adding them would do. A dry run with errors exits with 1."""
    given = (arguments.source, ImportOptions(arguments.kind, arguments.fit))
    with open_study(arguments.folder) as folder, progress("images", sys.stderr.isatty()) as advance:
        if arguments.dry_run:
            report = inspect(folder.database, *given, progress=advance)
        else:
            report = import_pairs(folder.database, folder.images, *given, progress=advance)
    print("\n".join(report.lines()))
    if arguments.dry_run:
        print("dry run: nothing was changed" + (f"; {report.errors} errors to correct first" if report.errors else ""))
        return 1 if report.errors else 0
    print(f"{arguments.folder}: {report.new} pairs added" if report.new else f"{arguments.folder}: nothing new")
    return 0
