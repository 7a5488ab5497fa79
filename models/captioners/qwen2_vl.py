"""Qwen2-VL: captions of whole images, or of outlined regions."""

from __future__ import annotations

from models.captioners.image_text_to_text import ImageTextToText
from models.hub import Precision
from registry import CAPTIONERS


@CAPTIONERS.register(
    "qwen2_vl",
    summary="Qwen2-VL-7B-Instruct (downloads 17 GB; Apache-2.0)",
    source="Wang et al. 2024, arXiv 2409.12191",
)
class Qwen2Vl(ImageTextToText):
    """As `ImageTextToText`; large pictures become many tokens, about 1,000 at 1024x768."""

    name = "qwen2_vl"
    model_type = "qwen2_vl"

    def __init__(
        self,
        model: str = "Qwen/Qwen2-VL-7B-Instruct",
        revision: str | None = None,
        max_new_tokens: int = 64,
        batch_size: int = 8,
        device: str = "auto",
        precision: Precision = "auto",
        device_map: str | None = None,
    ) -> None:
        super().__init__(model, revision, max_new_tokens, batch_size, device, precision, device_map)
