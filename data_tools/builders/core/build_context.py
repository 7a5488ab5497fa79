"""One call of a builder: what it was asked, and the folder it works in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_tools.builders.core.executor import Worker
from data_tools.builders.core.folder import BuildFolder
from data_tools.builders.core.journal import Journal, latest_entries
from semfid.io.sharding import Shard
from semfid.progress import Stage


@dataclass(frozen=True)
class Call:
    """What the command line says, beside the settings.

    Attributes:
        preview: make a few units, a contact sheet of them and an estimate; the units count.
        limit: only the first so many photos of the shard.
        say: a line for the user.
        stage: progress of a stage.
    """

    say: Callable[[str], None]
    stage: Stage
    shard: Shard = field(default_factory=Shard)
    retry_failed: bool = False
    preview: bool = False
    limit: int | None = None


@contextlib.contextmanager
def open_build(
    out: Path, builder: str, settings: Mapping[str, Any], call: Call, give_up_after: int | None = 50
) -> Iterator[Worker]:
    """The worker of this call's shard, with the folder held and its settings checked.

    Args:
        builder: its name in the stamp.
        settings: what the content depends on, with the identities of models.

    Raises:
        UserError: the shard is being built by another process; the folder has other settings.
    """
    folder = BuildFolder(out, call.shard)
    with folder.held():
        with folder.merging():
            folder.settle(builder, settings)
        journal = Journal(folder.journals / f"{call.shard.name}.jsonl")
        yield Worker(folder, journal, latest_entries(folder.journals), call.retry_failed, give_up_after)
