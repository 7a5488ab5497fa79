"""Pretrained models: where they come from, exactly which they are, and where they run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.catalogue.lock import pinned_revision
from semfid.errors import UserError
from semfid.io.files import content_digest

Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Source:
    """A model, pinned.

    Attributes:
        model: id on the hub, or a local folder.
        revision: commit on the hub; None for a folder.
        config: its transformers configuration.
        identity: id and commit, or a hash of the folder's files.
    """

    model: str
    revision: str | None
    config: Any
    identity: str


def pin(
    what: str,
    model: str,
    revision: str | None,
    instead: str = "stored",
    model_type: str | None = None,
    otherwise: str = "",
) -> Source:
    """Find out which model a name means now, without loading its weights.

    Args:
        what: for messages, such as ``segmenter: oneformer``.
        revision: branch, tag or commit; of hub models only. None: `pinned_revision`'s, else the newest.
        instead: a plugin of the kind that needs no model, for the message.
        model_type: the only architecture of transformers that is accepted; None: any.
        otherwise: the plugin of the kind that accepts any architecture, for the message.

    Raises:
        UserError: the model cannot be obtained, transformers does not know its architecture, or it is not `model_type`.
    """
    folder = Path(model)
    if folder.is_dir() and revision is not None:
        raise UserError(f"{what}: revision={revision} is for models of the hub; '{model}' is a folder")
    if revision is None and not folder.is_dir():
        revision = pinned_revision(model)
    with obtaining(what, model, instead):
        from transformers import AutoConfig  # seconds to import

        config = AutoConfig.from_pretrained(model, revision=revision)
    if model_type not in (None, config.model_type):
        raise UserError(f"{what}: '{model}' is a {config.model_type} model; use {otherwise} for it")
    if folder.is_dir():
        return Source(model, None, config, files_identity(folder))
    commit = getattr(config, "_commit_hash", None) or revision
    return Source(model, commit, config, f"{model}@{commit}")


def check_positive(what: str, **settings: int) -> None:
    """Check that each setting is at least 1.

    Raises:
        UserError: one is not; the message begins with `what` and names the setting.
    """
    for key, value in settings.items():
        if value < 1:
            raise UserError(f"{what} needs {key} >= 1, not {value}")


@contextmanager
def obtaining(what: str, model: str, instead: str | None = "stored") -> Iterator[None]:
    """Turn what a library raises on a missing or unfit model into one line with the fix.

    Args:
        instead: a plugin of the kind that needs no model; None: there is none, and the model may be gated.
    """
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"{what} needs a library that is not there ({first_line(error)}); pip install -r requirements.txt"
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        filled = "set HF_HUB_CACHE to a cache that `semfid models get` filled"
        if instead is None:
            fix = f"(a gated model needs `hf auth login`), {filled}, or give model: path/to/folder"
            raise UserError(f"{what}: cannot get '{model}' ({first_line(error)}); connect {fix}") from error
        fix = f"{filled}, give model: path/to/folder, or use {instead}, which needs none"
        raise UserError(f"{what}: cannot get '{model}' ({first_line(error)}); connect, {fix}") from error


def device_of(what: str, device: str = "auto", environment: Mapping[str, str] | None = None) -> str:
    """A device by name; ``auto``: the GPU of this process's local rank where there is one, else the CPU.

    Raises:
        UserError: a device that is not there.
    """
    import torch

    env = os.environ if environment is None else environment
    if device == "auto":
        if not torch.cuda.is_available():
            return "cpu"
        local = env.get("LOCAL_RANK", env.get("SLURM_LOCALID", "0"))
        return f"cuda:{int(local) % torch.cuda.device_count() if local.isdecimal() else 0}"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise UserError(f"{what}: no device '{device}' here ({first_line(error)}); use auto or cpu") from error
    return device


def resolve_precision(precision: Precision, device: str) -> str:
    """Name of a torch dtype; ``auto`` is bfloat16 on a GPU, float32 elsewhere."""
    if precision != "auto":
        return precision
    return "bfloat16" if device.startswith("cuda") else "float32"


def hub_identity(what: str, model: str, revision: str | None, file: str = "model_index.json") -> str:
    """``<model>@<commit>`` of a hub's model, or `files_identity` of a folder.

    Args:
        what: for messages, such as ``inpainter flux_fill``.
        file: a small file that every such model has.

    Raises:
        UserError: it cannot be loaded.
    """
    folder = Path(model)
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"{what}: revision={revision} is for models of the hub; '{model}' is a folder")
        return files_identity(folder, _sha256, hidden=True)
    with obtaining(what, model, instead=None):
        from huggingface_hub import hf_hub_download

        return f"{model}@{Path(hf_hub_download(model, file, revision=revision)).parent.name}"


def files_identity(folder: Path, content: Callable[[Path], bytes] = content_digest, hidden: bool = False) -> str:
    """``files:<hash>`` of all files of a folder with their names.

    Args:
        content: digest of one file. Identities are parts of the keys of caches and builds: those of builds use another one.
        hidden: whether files whose name begins with a dot count.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (hidden or not path.name.startswith(".")):
            digest.update(path.relative_to(folder).as_posix().encode() + content(path))
    return f"files:{digest.hexdigest()}"


def libraries(*names: str) -> str:
    """``torch 2.12.1, diffusers 0.42.1``: the versions that are installed, for a table's provenance."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:  # installed under another name
            found.append(f"{name} (unknown)")
    return ", ".join(found)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters; its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
