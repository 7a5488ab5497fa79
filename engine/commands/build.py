"""`semfid build`: data sets made from photos; the work stands in `data_tools.builders`."""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_tools.builders.core.build_context import Call
from data_tools.builders.core.verify import Findings, verify
from semfid.io.sharding import Shard, parse_shard, shard_of_process
from semfid.progress import progress

log = logging.getLogger("semfid")

BUILDERS = {
    "edits": "data_tools.builders.edits.build",
    "inpainting": "data_tools.builders.inpainting.build",
    "sr-outputs": "data_tools.builders.sr_outputs.build",
}
"""Name to the module whose ``build(config, overrides, call)`` returns the number of units that failed."""
SHOWN = 5


def build(
    builder: str,
    config: str,
    overrides: Sequence[str] = (),
    *,
    shard: Shard | None = None,
    retry_failed: bool = False,
    preview: bool = False,
    limit: int | None = None,
) -> int:
    """Build a data set, or go on with one.

    Args:
        builder: one of `BUILDERS`.
        config: its YAML.
        overrides: ``key=value``, such as ``out=built``.
        shard: the part of the work that this process does; None: that of its rank, else all.
        retry_failed: make units again that ended in an error.
        preview: make a few units, a contact sheet and an estimate.
        limit: only the first so many photos of the shard.

    Returns:
        the number of units that failed.

    Raises:
        UserError: a bad setting or folder; names the place and the fix.
    """
    shard = shard or shard_of_process()
    prefix = f"[{shard.name}] " if shard.count > 1 else ""
    call = Call(
        lambda text: log.info(prefix + text),
        lambda title: progress(prefix + title),
        shard,
        retry_failed,
        preview,
        limit,
    )
    return int(importlib.import_module(BUILDERS[builder]).build(config, overrides, call))


def verify_build(folder: str | Path) -> Findings:
    """Hold the files of a data set against its tables.

    Raises:
        UserError: not the folder of a build.
    """
    with progress("verify") as advance:
        return verify(Path(folder), advance)


def command(arguments: argparse.Namespace) -> int:
    """Run a builder or the check of what one made; exit code 1 where a unit failed or a file is not as it was."""
    if arguments.what == "verify":
        findings = verify_build(arguments.config)
        for line in findings_lines(findings):
            print(line)
        return 0 if findings.fine else 1
    if arguments.what == "import":
        from data_tools.builders.core.importing import run

        return run(arguments.config, arguments.overrides, arguments.out, print, progress)
    failed = build(
        arguments.what,
        arguments.config,
        arguments.overrides,
        shard=parse_shard(arguments.shard) if arguments.shard else None,
        retry_failed=arguments.retry_failed,
        preview=arguments.preview,
        limit=arguments.limit,
    )
    return 1 if failed else 0


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
