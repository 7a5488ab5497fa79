"""Sentences to vectors. A file dropped into this folder that registers a `TextEncoder` is available by name everywhere."""

from __future__ import annotations

from typing import Any

from models.text_encoders.contract import TextEncoder
from registry import TEXT_ENCODERS

__all__ = ["TextEncoder", "build_text_encoder"]


def build_text_encoder(name: str, keywords: dict[str, Any]) -> TextEncoder:
    """Build a registered text encoder and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: weights that cannot be had.
    """
    return TEXT_ENCODERS.build_as(TextEncoder, name, keywords)
