"""Which weights a model has: a commit of a hub, or a hash of files."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semfid.errors import UserError


def libraries(*names: str) -> str:
    """``torch 2.12.1, diffusers 0.42.1``: the versions that are installed, for a table's provenance."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:  # installed under another name
            found.append(f"{name} (unknown)")
    return ", ".join(found)


def files_identity(path: Path) -> str:
    """``files:<hash>`` of a file's content, or of all files of a folder with their names."""
    digest = hashlib.blake2b(digest_size=8)
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    for file in files:
        if file != path:
            digest.update(file.relative_to(path).as_posix().encode())
        with open(file, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return f"files:{digest.hexdigest()}"


def hub_identity(what: str, model: str, revision: str | None, file: str = "model_index.json") -> str:
    """``<model>@<commit>`` of a hub's model, or `files_identity` of a folder.

    Args:
        what: for messages, such as ``inpainter flux_fill``.
        file: a small file that every such model has.

    Raises:
        UserError: it cannot be had.
    """
    folder = Path(model)
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"{what}: revision={revision} is for models of the hub; '{model}' is a folder")
        return files_identity(folder)
    with obtaining(what, model):
        from huggingface_hub import hf_hub_download

        return f"{model}@{Path(hf_hub_download(model, file, revision=revision)).parent.name}"


@contextmanager
def obtaining(what: str, model: str) -> Iterator[None]:
    """Turn what a library raises on a missing or unfit model into one line with the fix."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"{what} needs a library that is not there ({_line(error)}); pip install -r requirements.txt"
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{what}: cannot get '{model}' ({_line(error)}); connect (a gated model needs `hf auth login`), set HF_HUB_CACHE "
            "to a filled cache, or give model: path/to/folder"
        ) from error


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
