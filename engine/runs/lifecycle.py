"""Work on a run's folder: what comes of it is saved, and what the folder says when it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
import torch

from engine.config.expansion import Variant
from engine.rank_zero import is_rank_zero, log
from engine.runs.context import RunContext
from engine.runs.provenance import provenance
from engine.runs.run_folder import METRICS, RunFolder
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.io.system_faults import remedy, said


def _nothing() -> None:
    """What follows where nothing does."""


@dataclass(frozen=True)
class Outcome:
    """What the work of a run came to. On processes beside the first it may be empty.

    Attributes:
        tables: by the name of their file.
        metrics: content of ``metrics.json``.
        facts: for the provenance.
        headline: its most important metrics in words.
        after: called when all is saved.
    """

    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    metrics: Mapping[str, object] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    headline: str = ""
    after: Callable[[], None] = _nothing


def run_guarded(
    variant: Variant, context: RunContext, folder: RunFolder, title: str, work: Callable[[], Outcome]
) -> RunFolder:
    """Hold a run's folder and do the work unless it is done; the folder's state says how it ended.

    Every process of a run calls it; the first one holds the folder and saves.

    Raises:
        UserError: another process holds the folder, or whatever is wrong with the work; the state is then ``failed``.
    """
    if folder.state == "done":
        return folder
    if not is_rank_zero():
        work().after()
        return folder
    with folder.held():
        if folder.state == "done":  # by another process, since it was looked at last
            return folder
        folder.set_state("running")
        folder.write_yaml("config.yaml", {**variant.config.as_mapping(), "choices": variant.choices})
        try:
            start = time.monotonic()
            outcome = work()
            save(variant, context, folder, outcome, round(time.monotonic() - start, 3))
        except UserError as error:
            folder.set_state("failed", str(error))
            raise
        except Exception as error:
            folder.set_state("failed", _state_of(error))
            told = _told(error, folder, title or variant.label)
            if told is None:
                raise
            raise UserError(told) from error
    outcome.after()
    return folder


def _state_of(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "out of GPU memory"
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def _told(error: Exception, folder: RunFolder, title: str) -> str | None:
    """What a user can do about an error; None of one that is a fault of ours."""
    if isinstance(error, OSError):
        place = "" if error.filename else f"{folder.path}: "
        return f"{place}{said(error)}; {remedy(error, 'choose another folder by output=')}"
    if isinstance(error, torch.OutOfMemoryError):
        return f"{title}: out of GPU memory; lower data.batch_size or data.image_size"
    if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):  # its words name no cause
        return (
            f"{title}: a process that loads images was ended, by the system or for lack of memory; set data.workers=0"
        )
    return None


def save(variant: Variant, context: RunContext, folder: RunFolder, outcome: Outcome, wall_s: float) -> None:
    """Tables, provenance, metrics; the state ``done`` comes last."""
    data = context.source(variant.config)
    for name, table in outcome.tables.items():
        write_whole(folder.path / name, table.to_csv(index=False).encode())
    trainer = variant.config.trainer
    facts = {
        "seed": variant.seed,
        "precision": str(trainer.precision or "32-true"),
        "float32_products": "tf32" if trainer.tf32 else "float32",
        "table": data.table.name,
        "table_hash": data.table.content_hash(),
        "data_hash": context.data_hash(variant.config),
    }
    folder.write_json("provenance.json", {**provenance(), **facts, **outcome.facts, "wall_s": wall_s})
    folder.write_json(METRICS, outcome.metrics)
    folder.set_state("done")
    log.info(f"{folder.path.name}: {outcome.headline} ({wall_s:.1f} s)")
