"""`semfid study check`."""

from __future__ import annotations

import argparse
import sys

from semfid.progress import progress
from user_study.analysis.checking import check, repair
from user_study.core.folder import open_study


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong and what to do; exit code 1 if something is."""
    with open_study(arguments.folder) as folder:
        with progress("images", sys.stderr.isatty()) as advance:
            faults = check(folder.database, folder.images, advance)
        if arguments.repair and any(fault.repairable for fault in faults):
            print(f"repaired: {repair(folder.database)} pairs")
            faults = check(folder.database, folder.images)
    for fault in faults:
        print(f"{fault.level}: {fault.what}\n  {fault.remedy}")
    errors = sum(fault.level == "error" for fault in faults)
    print(f"{arguments.folder}: " + (f"{errors} errors" if errors else "sound"))
    return 1 if errors else 0
