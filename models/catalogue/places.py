"""Where models lie on this machine: the caches of the libraries that load them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from models.catalogue.contract import HubSource

LOCK = "semfid-models.lock.json"


@dataclass(frozen=True)
class Places:
    """The folders.

    Attributes:
        hub: cache of the Hugging Face hub.
        checkpoints: torch.hub's.
    """

    hub: Path
    checkpoints: Path

    @classmethod
    def standard(cls) -> Places:
        """As the libraries choose them: by HF_HUB_CACHE, HF_HOME, TORCH_HOME and XDG_CACHE_HOME."""
        from huggingface_hub import constants  # not needed to import a plugin

        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        torch_home = Path(os.environ.get("TORCH_HOME") or base / "torch").expanduser()
        return cls(Path(constants.HF_HUB_CACHE), torch_home / "hub" / "checkpoints")

    @property
    def lock(self) -> Path:
        """The file that records what was downloaded; it travels with a copy of the cache."""
        return self.hub / LOCK

    def repository(self, source: HubSource) -> Path:
        """A repository's folder in the cache."""
        return self.hub / f"{source.kind}s--{source.id.replace('/', '--')}"

    def snapshot(self, source: HubSource, commit: str) -> Path:
        """The folder of a repository's files at a commit."""
        return self.repository(source) / "snapshots" / commit

    def newest(self, source: HubSource) -> str | None:
        """The commit of the main branch that the cache knows."""
        try:
            return (self.repository(source) / "refs" / "main").read_text(encoding="utf-8").strip() or None
        except OSError:
            return None
