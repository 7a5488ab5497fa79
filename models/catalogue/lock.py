"""The lock file: which commit and which files of each model were downloaded, with their hashes.

``semfid-models.lock.json`` in the hub's cache:

    {"format": 1, "models": {"<id>": {"revision": "<commit>", "licence": "...",
                                      "files": {"<name>": {"size": 1, "sha256": "..."}}}}}

A model whose revision the catalogue does not pin is loaded at the commit that stands here, also after its repository has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.catalogue.places import Places
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.io.locks import lock

FORMAT = 1
_FIX = "set HF_HUB_CACHE to a folder that can be written"


@dataclass(frozen=True)
class LockedFile:
    """One downloaded file: bytes, and sha256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True)
class LockedModel:
    """One downloaded source.

    Attributes:
        revision: the commit; None for what has none.
        licence: as the hub's card had it; None where it had none.
    """

    revision: str | None
    licence: str | None
    files: Mapping[str, LockedFile] = field(default_factory=dict)


def read_lock(path: Path) -> dict[str, LockedModel]:
    """What was recorded, by public id; nothing where there is no file.

    Raises:
        UserError: not a file that semfid wrote.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        return {
            str(name): LockedModel(
                one["revision"],
                one["licence"],
                {str(file): LockedFile(int(of["size"]), str(of["sha256"])) for file, of in one["files"].items()},
            )
            for name, one in content["models"].items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not what semfid wrote ({error!r}); remove it, then `semfid models get` again"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); change its permissions or remove it") from error


def record(path: Path, name: str, model: LockedModel) -> None:
    """Add or replace one model's entry; other processes wait.

    Raises:
        UserError: the folder cannot be written, or holds something else under this name.
    """
    with lock(path.with_suffix(".lock"), _FIX):
        models = {**read_lock(path), name: model}
        content = {"format": FORMAT, "models": {key: asdict(models[key]) for key in sorted(models)}}
        write_whole(path, (json.dumps(content, indent=1) + "\n").encode(), _FIX)


def pinned_revision(model: str) -> str | None:
    """The commit at which a hub's model is to be loaded: the catalogue's, else the recorded one; None: neither.

    Raises:
        UserError: as `read_lock`.
    """
    from models.catalogue.contract import HubSource
    from models.catalogue.known import CATALOGUE

    for source in (source for one in CATALOGUE for source in one.sources):
        if isinstance(source, HubSource) and source.id == model and source.revision is not None:
            return source.revision
    found = read_lock(Places.standard().lock).get(model)
    return found.revision if found is not None else None
