"""What is known of a model that plugins load by a public id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

HubKind: TypeAlias = Literal["model", "dataset"]
UNKNOWN = "unknown (recorded at first download)"


@dataclass(frozen=True)
class HubSource:
    """A repository of the Hugging Face hub.

    Attributes:
        id: ``owner/name``.
        revision: the commit that is used; None: not known before the first download, which records it (see `catalogue.lock`).
        kind: of the repository.
        patterns: shell patterns of the files that are needed; empty: chosen by `catalogue.selection`.
    """

    id: str
    revision: str | None = None
    kind: HubKind = "model"
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileSource:
    """One file behind a URL, for the folder of torch.hub's checkpoints.

    Attributes:
        sha256: the hash's hex digits, or the first 8 of them where its publisher gives no more.
    """

    url: str
    sha256: str

    @property
    def id(self) -> str:
        """The file's name."""
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class PackageSource:
    """Model files inside a Python package. semfid installs no packages: `get` names the command.

    Attributes:
        id: the distribution's name on the package index.
        install: what ``pip install`` is given.
        patterns: shell patterns of the model files among the distribution's.
    """

    id: str
    install: str
    patterns: tuple[str, ...]


Source: TypeAlias = HubSource | FileSource | PackageSource


@dataclass(frozen=True)
class KnownModel:
    """A model of the catalogue.

    Attributes:
        name: short, as `semfid models` takes it.
        sources: the model's own, and after it what it needs besides.
        used_by: plugins that load it by default or by a keyword, ``<kind>.<name>``.
        licence: of the weights; None: unknown, recorded at first download.
        gated: the hub asks for an account that has accepted the licence.
        megabytes: published size of the download; None: unknown, recorded at first download.
    """

    name: str
    sources: tuple[Source, ...]
    used_by: tuple[str, ...]
    licence: str | None = None
    gated: bool = False
    megabytes: float | None = None

    @property
    def main(self) -> Source:
        """Where the weights are."""
        return self.sources[0]
