"""Sentences to vectors. A file dropped into this folder that registers a `TextEmbedder` is available by name everywhere."""

from __future__ import annotations

from typing import Any

from models.text_encoders.contract import TextEmbedder
from registry import TEXT_EMBEDDERS

__all__ = ["TextEmbedder", "build_text_embedder"]


def build_text_embedder(name: str, keywords: dict[str, Any]) -> TextEmbedder:
    """Build a registered text embedder and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: weights that cannot be had.
    """
    return TEXT_EMBEDDERS.build_as(TextEmbedder, name, keywords)
