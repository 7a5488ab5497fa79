"""A scorer out of one torch.export file, made by ``semfid export RUN --format torch``.

The file is a plain torch.export archive of ``f(reference, candidate) -> difference``: torch alone can load and call it.
Its parts `describe` and `compare` keep their signatures, so that a reference is described once for many candidates.
Beside the program it carries ``semfid.json`` (the facts) and, where the head gives maps, a second small program.
"""

from __future__ import annotations

import base64
import copy
import glob
import io
import json
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semfid.errors import UserError
from semfid.scoring.scorer import Description, Facts, Scorer

FORMAT = 1
FACTS = "semfid.json"
MAPS = "semfid_maps.b64"  # extra files of an archive are text


class ExportedScorer(Scorer):
    """Scores as the run did that the file was exported from; differentiable with respect to the images.

    Args:
        program: the archive's program.
        maps: the program of the maps, or None.
        path: of the file.
    """

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        maps: torch.export.ExportedProgram | None,
        facts: Facts,
        path: Path,
    ) -> None:
        super().__init__()
        # float32 convolutions on channels-last memory are faster on CPUs, and faster in bf16 on GPUs
        self.parts = _modules(program).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.map_parts = None if maps is None else _modules(maps)
        self.facts, self.path = facts, path.resolve()
        self.requires_grad_(False)
        self.eval()

    def __reduce__(self) -> Any:
        """Pickled as its file, since programs cannot be."""
        return load_exported, (self.path,)

    def __deepcopy__(self, memo: dict[int, Any]) -> ExportedScorer:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def describe(self, images: Tensor) -> Description:
        # the program describes two images, and one of the two calls may ask for sizes of the other image
        calls = getattr(self.parts.describe, "_call_modules", [self.parts.describe])
        alone = [call for call in calls if [node.op for node in call.graph.nodes].count("placeholder") == 1]
        return tuple(alone[0](images))

    def compare(self, reference: Description, candidate: Description) -> Tensor:
        return self.parts.compare(reference, candidate)  # type: ignore[operator,no-any-return]

    def maps(self, reference: Description, candidate: Description) -> Tensor:
        if self.map_parts is None:
            return super().maps(reference, candidate)
        return self.map_parts(reference, candidate)  # type: ignore[no-any-return]


def _modules(program: torch.export.ExportedProgram) -> nn.Module:
    parts: nn.Module = torch.export.unflatten(program)
    for module in parts.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta = {}  # notes of the export, which cannot be copied
    return parts


def load_exported(path: str | Path) -> ExportedScorer:
    """Read an exported file.

    Raises:
        UserError: no such file, damaged, not an archive of torch.export, not one of ``semfid export``, or of a newer
            format.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}; make one with `semfid export RUN --format torch`")
    facts = _facts(path)
    extra: dict[str, Any] = {MAPS: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own file layout
        try:
            program = torch.export.load(str(path), extra_files=extra)
            maps = torch.export.load(io.BytesIO(base64.b64decode(extra[MAPS]))) if extra[MAPS] else None
        except (RuntimeError, ValueError, TypeError, KeyError, EOFError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{path} cannot be read by torch {torch.__version__}: {reason}") from error
        return ExportedScorer(program, maps, facts, path)


def _facts(path: Path) -> Facts:
    """What a file says of itself, once it is known to be whole: torch would load damaged weights without a word."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise UserError(f"{path} is damaged ({damaged}); copy or export it again")
            (entry,) = [name for name in archive.namelist() if name.endswith(f"extra/{FACTS}")] or [""]
            if not entry:
                raise UserError(f"{path} is no file of `semfid export`: it does not say what it was trained on")
            content = json.loads(archive.read(entry))
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError) as error:
        raise UserError(
            f"{path} is not a torch.export archive, or cut off; make one with `semfid export RUN --format torch`"
        ) from error
    if content.get("format") != FORMAT:
        raise UserError(f"{path} has the format {content.get('format')}, this semfid reads {FORMAT}; update semfid")
    return Facts(**content["facts"])


def one_path(path: str | Path) -> Path:
    """The file or folder of a scorer.

    Args:
        path: may be a pattern, such as ``runs/quickstart/*head=cosine_seed=0*``: run folders end in a hash.

    Raises:
        UserError: nothing fits, or more than one path does.
    """
    if Path(path).exists():
        return Path(path)
    found = sorted(glob.glob(str(path)))
    if len(found) > 1:
        raise UserError(f"{path} fits {len(found)} paths ({found[0]}, {found[1]}, ...); make it fit one")
    if not found:
        raise UserError(f"no file or folder {path}; give a run folder, or a file that `semfid export` wrote")
    return Path(found[0])
