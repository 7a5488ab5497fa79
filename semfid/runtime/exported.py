"""A scorer out of one torch.export file, made by ``semfid export RUN --format torch``.

The file is a plain torch.export archive of ``f(reference, candidate) -> difference``: torch alone can load and call it.
Its parts `describe` and `compare` keep their signatures, so that a reference is described once for many candidates.
Beside the program it carries ``semfid.json`` (the facts) and, where the head gives maps, a second small program.
"""

from __future__ import annotations

import base64
import glob
import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semfid.runtime.errors import ScoringError
from semfid.runtime.scorer import Description, Facts, Scorer

FORMAT = 1
FACTS = "semfid.json"
MAPS = "semfid_maps.b64"  # extra files of an archive are text


class ExportedScorer(Scorer):
    """Scores as the run did that the file was exported from; differentiable with respect to the images.

    Args:
        program: the archive's program.
        maps: the program of the maps, or None.
    """

    def __init__(self, program: torch.export.ExportedProgram, maps: torch.export.ExportedProgram | None, facts: Facts):
        super().__init__()
        parts: nn.Module = torch.export.unflatten(program)
        # float32 convolutions on channels-last memory are faster on CPUs, and faster in bf16 on GPUs
        self.parts = parts.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.map_parts = None if maps is None else torch.export.unflatten(maps)
        self.facts = facts
        self.requires_grad_(False)

    def describe(self, images: Tensor) -> Description:
        return tuple(self.parts.describe(images))  # type: ignore[operator]

    def compare(self, reference: Description, candidate: Description) -> Tensor:
        return self.parts.compare(reference, candidate)  # type: ignore[operator,no-any-return]

    def maps(self, reference: Description, candidate: Description) -> Tensor:
        if self.map_parts is None:
            return super().maps(reference, candidate)
        return self.map_parts(reference, candidate)  # type: ignore[no-any-return]


def load_exported(path: str | Path) -> ExportedScorer:
    """Read an exported file.

    Raises:
        ScoringError: no such file, not an archive of torch.export, not one of ``semfid export``, or of a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise ScoringError(f"no file {path}; make one with `semfid export RUN --format torch`")
    if not zipfile.is_zipfile(path):
        raise ScoringError(f"{path} is not a torch.export archive; make one with `semfid export RUN --format torch`")
    extra: dict[str, Any] = {FACTS: "", MAPS: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own file layout
        try:
            program = torch.export.load(str(path), extra_files=extra)
        except (RuntimeError, ValueError, KeyError, EOFError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ScoringError(f"{path} cannot be read by torch {torch.__version__}: {reason}") from error
        if not extra[FACTS]:
            raise ScoringError(f"{path} is no file of `semfid export`: it does not say what it was trained on")
        content = json.loads(extra[FACTS])
        if content.get("format") != FORMAT:
            raise ScoringError(
                f"{path} has the format {content.get('format')}, this semfid reads {FORMAT}; update semfid"
            )
        maps = None
        if extra[MAPS]:
            maps = torch.export.load(io.BytesIO(base64.b64decode(extra[MAPS])))
        return ExportedScorer(program, maps, Facts(**content["facts"]))


def one_path(path: str | Path) -> Path:
    """The file or folder of a scorer.

    Args:
        path: may be a pattern, such as ``runs/quickstart/*head=cosine_seed=0*``: run folders end in a hash.

    Raises:
        ScoringError: nothing fits, or more than one path does.
    """
    if Path(path).exists():
        return Path(path)
    found = sorted(glob.glob(str(path)))
    if len(found) > 1:
        raise ScoringError(f"{path} fits {len(found)} paths ({found[0]}, {found[1]}, ...); make it fit one")
    if not found:
        raise ScoringError(f"no file or folder {path}; give a run folder, or a file that `semfid export` wrote")
    return Path(found[0])
