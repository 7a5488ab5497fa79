"""Scorers by path: the default metric without one, a file anywhere, a run folder in the clone."""

from __future__ import annotations

from pathlib import Path

from semfid.clone import clone_module, in_clone
from semfid.errors import UserError
from semfid.scoring.scorer import Scorer


def load_scorer(path: str | Path | None = None, part: int | None = None) -> Scorer:
    """The scorer of an exported file, of a metric's weights or of a run folder; the default metric where none is named.

    Args:
        path: ``scorer.pt2``, ``metric.pt``, or ``runs/<experiment>/<variant>-<hash>``; a pattern such as
            ``runs/quickstart/*head=cosine_seed=0*`` that fits one path.
        part: the fold of a run whose head is used; None: the mean of all.

    Raises:
        UserError: nothing there, not a scorer, or damaged.
    """
    if path is None:
        from semfid.scoring.default_metric import load_default_metric

        if part is not None:
            raise UserError("the default metric has one head; leave --part out, or name a run by --run")
        return load_default_metric()
    from semfid.scoring.exported import load_exported, one_path

    found = one_path(path)
    if found.is_file():
        if found.suffix == ".onnx":
            raise UserError(f"{found} is for onnxruntime; give the run, or a file of `semfid export --format torch`")
        if part is not None:
            raise UserError(f"{found} holds one scorer; leave --part out")
        if found.suffix == ".pt":
            from semfid.scoring.default_metric import load_metric_file

            return load_metric_file(found)
        return load_exported(found)
    if not in_clone():
        raise UserError(f"{found} is a run folder, which needs the clone of the repository; export it there first")
    finished: Scorer = clone_module("run folders", f"{found} is a run folder, which").load_finished(found, part)
    return finished
