"""Which of a repository's files are needed to load the model here: its weights once, and what stands beside them."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import PurePosixPath

from models.catalogue.remote import RemoteFile

_OTHER_FOLDERS = ("onnx", "openvino", "coreml", "original", ".git")
_OTHER_ENDINGS = (
    ".h5",
    ".msgpack",
    ".ot",  # codespell:ignore ot
    ".onnx",
    ".tflite",
    ".mlmodel",
    ".pdparams",
    ".gguf",
    ".md",
    ".png",
    ".jpg",
    ".mp4",
    ".zip",
)
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_VARIANTS = (".fp16", ".bf16", ".non_ema", ".fp16-", ".bf16-", ".non_ema-")
_PIPELINE = "model_index.json"  # of diffusers: its parts lie in folders


def wanted(files: Sequence[RemoteFile], patterns: Sequence[str] = ()) -> list[RemoteFile]:
    """The files to download, by name.

    Left out are weights of other frameworks, pictures, half-precision copies, pickled weights where safetensors lie in the same
    folder, and weights beside a pipeline of diffusers, whose parts lie in folders.

    Args:
        patterns: shell patterns of the names; empty: the rule above.
    """
    if patterns:
        return sorted((one for one in files if _fits(one.name, patterns)), key=lambda one: one.name)
    kept = [one for one in files if not _foreign(PurePosixPath(one.name))]
    safe = {PurePosixPath(one.name).parent for one in kept if one.name.endswith(".safetensors")}
    pipeline = any(one.name == _PIPELINE for one in kept)
    chosen = []
    for one in kept:
        path = PurePosixPath(one.name)
        pickled = path.suffix in _PICKLED
        if pickled and path.parent in safe:
            continue
        if pipeline and path.parent == PurePosixPath() and (pickled or path.suffix == ".safetensors"):
            continue
        chosen.append(one)
    return sorted(chosen, key=lambda one: one.name)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _foreign(path: PurePosixPath) -> bool:
    if path.parts[0] in _OTHER_FOLDERS or path.suffix.lower() in _OTHER_ENDINGS:
        return True
    weights = path.suffix in (*_PICKLED, ".safetensors", ".json") and "." in path.stem
    return path.name.startswith(".git") or (weights and any(mark in path.stem for mark in _VARIANTS))
