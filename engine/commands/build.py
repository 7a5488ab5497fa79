"""`semfid build`: data sets made from photos; the work stands in `data_tools.builders`."""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Iterator
from pathlib import Path

from data_tools.builders.core.build_context import Call
from data_tools.builders.core.verify import Findings
from semfid.io.sharding import parse_shard, shard_of_process
from semfid.progress import progress

log = logging.getLogger("semfid")

BUILDERS = {
    "edits": "data_tools.builders.edits.build",
    "inpainting": "data_tools.builders.inpainting.build",
    "sr-outputs": "data_tools.builders.sr_outputs.build",
}
"""Name to the module whose ``build(config, overrides, call)`` returns the number of units that failed."""
SHOWN = 5


def build(arguments: argparse.Namespace) -> int:
    """Run a builder or the check of what one made; the exit code: 1 where a unit failed or a file is not as it was.

    Raises:
        UserError: a bad setting or folder; names the place and the fix.
    """
    if arguments.what == "verify":
        return _verify(Path(arguments.config))
    if arguments.what == "import":
        from data_tools.builders.core.importing import run

        return run(arguments.config, arguments.overrides, arguments.out, print, progress)
    shard = parse_shard(arguments.shard) if arguments.shard else shard_of_process()
    prefix = f"[{shard.name}] " if shard.count > 1 else ""
    call = Call(
        lambda text: log.info(prefix + text),
        lambda title: progress(prefix + title),
        shard,
        arguments.retry_failed,
        arguments.preview,
        arguments.limit,
    )
    failed = importlib.import_module(BUILDERS[arguments.what]).build(arguments.config, arguments.overrides, call)
    return 1 if failed else 0


def _verify(folder: Path) -> int:
    from data_tools.builders.core.verify import verify

    with progress("verify") as advance:
        findings = verify(folder, advance)
    for line in findings_lines(findings):
        print(line)
    return 0 if findings.fine else 1


def findings_lines(findings: Findings) -> Iterator[str]:
    """What was found, in lines for the screen."""
    for what in ("missing", "changed", "extra"):
        names: list[str] = getattr(findings, what)
        for name in names[:SHOWN]:
            yield f"{what}: {name}"
        if len(names) > SHOWN:
            yield f"{what}: and {len(names) - SHOWN} more"
    yield (
        f"{findings.checked} files: {len(findings.missing)} missing, {len(findings.changed)} changed, "
        f"{len(findings.extra)} extra; {findings.errors} units with errors"
    )
    if findings.missing or findings.changed:
        yield "the same `semfid build` makes missing files again; remove changed ones first"
