"""The catalogue of pretrained models: which there are, exactly which files they are, and getting them onto this machine."""

from __future__ import annotations

from models.catalogue.lock import pinned_revision

__all__ = ["pinned_revision"]
