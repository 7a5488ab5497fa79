"""`semfid export`: a finished run as one file, with its model card."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.export import export_run


def command(arguments: argparse.Namespace) -> int:
    """Export a run, and print the file."""
    out = None if arguments.out is None else Path(arguments.out)
    target = export_run(Path(arguments.run), arguments.format, out, arguments.part, arguments.replace)
    print(f"{target} (card: {target}.md)")
    return 0
