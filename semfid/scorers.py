"""Scorers by path: an exported file anywhere, a run folder in the clone."""

from __future__ import annotations

from pathlib import Path

from semfid.clone import in_clone
from semfid.runtime.errors import ScoringError
from semfid.runtime.scorer import Scorer


def load_scorer(path: str | Path, part: int | None = None) -> Scorer:
    """The scorer of an exported file or of a run folder.

    Args:
        path: ``scorer.pt2``, or ``runs/<experiment>/<variant>-<hash>``; a pattern such as
            ``runs/quickstart/*head=cosine_seed=0*`` that fits one path.
        part: the fold of a run whose head is used; None: the mean of all.

    Raises:
        ScoringError: nothing there, or not a scorer.
    """
    from semfid.runtime.exported import load_exported, one_path

    found = one_path(path)
    if found.is_file():
        if found.suffix == ".onnx":
            raise ScoringError(f"{found} is for onnxruntime; give the run, or a file of `semfid export --format torch`")
        if part is not None:
            raise ScoringError(f"{found} holds one scorer; leave --part out")
        return load_exported(found)
    if not in_clone():
        raise ScoringError(f"{found} is a run folder, which needs the clone of the repository; export it there first")
    try:
        from lightning_modules.scorer import load_run
        from registry import UserError
    except ModuleNotFoundError as error:
        raise ScoringError(
            f"{found} is a run folder, which needs the clone's environment (no module '{error.name}'); run `make quickstart`"
        ) from error
    try:
        return load_run(found, part)
    except UserError as error:
        raise ScoringError(str(error)) from error
