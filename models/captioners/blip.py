"""BLIP."""

from __future__ import annotations

from models.captioners.image_to_text import ImageToText
from models.hub import Precision
from registry import CAPTIONERS


@CAPTIONERS.register(
    "blip",
    summary="BLIP base, captions of a dozen words (downloads 1 GB; BSD-3)",
    source="Li et al. 2022, arXiv 2201.12086",
)
class Blip(ImageToText):
    """As `ImageToText`; ``Salesforce/blip-image-captioning-large`` through `model`."""

    name = "blip"
    model_type = "blip"

    def __init__(
        self,
        model: str = "Salesforce/blip-image-captioning-base",
        prefix: str = "",
        revision: str | None = None,
        max_new_tokens: int = 64,
        batch_size: int = 16,
        device: str = "auto",
        precision: Precision = "auto",
        device_map: str | None = None,
    ) -> None:
        super().__init__(model, prefix, revision, max_new_tokens, batch_size, device, precision, device_map)
