"""Checkpoints of a training that was cut off: which it goes on from, and what becomes of files that were cut short."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from torch import Tensor

from engine.rank_zero import is_rank_zero, log
from semfid.io.torch_files import DamagedFileError, load_whole

LAST, BEST = "last.ckpt", "best.ckpt"
# what Lightning goes on from
NEEDED = ("state_dict", "epoch", "callbacks", "loops", "optimizer_states", "lr_schedulers")


class Checkpoint(TypedDict):
    """What is read of a checkpoint of Lightning's.

    Attributes:
        epoch: from 0.
        callbacks: state of each by a name that begins with its class.
    """

    state_dict: Mapping[str, Tensor]
    epoch: int
    callbacks: Mapping[str, Mapping[str, Any]]


def going_on(folder: Path, selects: bool, title: str) -> Checkpoint | None:
    """The last checkpoint of a training that was cut off; None: it begins anew.

    A checkpoint that was cut short (by a power cut, a quota, a copy that broke off) is named and removed, and so is the
    other one: they belong together. Every process comes to the same answer, whether or not it still sees the files.

    Args:
        folder: of the part's checkpoints.
        selects: whether an epoch is selected, so that there must be its checkpoint too.

    Raises:
        OSError: a file that cannot be read as it is.
    """
    if not (folder / LAST).exists():
        return None
    last = read_checkpoint(folder / LAST)
    if last is not None and (not (selects and _has_best(last)) or read_checkpoint(folder / BEST) is not None):
        return last
    damaged = folder / (LAST if last is None else BEST)
    log.info(f"{title or folder.name}: {damaged} was cut short or changed; this part is trained anew")
    if is_rank_zero():
        for name in (LAST, BEST):  # in this order: a lone best.ckpt is of no training that goes on
            (folder / name).unlink(missing_ok=True)
    return None


def read_checkpoint(path: Path) -> Checkpoint | None:
    """A checkpoint of Lightning's; None where it is gone, damaged, or something else."""
    try:
        state = load_whole(path)
    except (FileNotFoundError, DamagedFileError):
        return None
    return cast(Checkpoint, state) if isinstance(state, dict) and all(key in state for key in NEEDED) else None


def _has_best(state: Checkpoint) -> bool:
    """Whether an epoch was selected before a checkpoint was written."""
    return any(str(one.get("best_model_path", "")).endswith(BEST) for one in state["callbacks"].values())


def stopped_early(state: Checkpoint) -> bool:
    """Whether early stopping had ended the training that wrote a checkpoint: it must not go on by one epoch more."""
    return any(key.startswith("EarlyStopping") and one["stopped_epoch"] > 0 for key, one in state["callbacks"].items())
