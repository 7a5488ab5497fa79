"""ViP-LLaVA, which was trained to describe what is outlined in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from models.captioners.greedy import GreedyOptions
from models.captioners.image_text_to_text import ImageTextToText
from models.catalogue.ids import VIP_LLAVA
from registry import CAPTIONERS

# the conversation that it was trained on
TEMPLATE = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
    "polite answers to the human's questions.###Human: <image>\n{prompt}###Assistant:"
)


@CAPTIONERS.register(
    "vip_llava",
    summary="ViP-LLaVA 7B: describes outlined regions (downloads 14 GB; research only)",
    source="Cai et al. 2024, arXiv 2312.00784",
    shared=GreedyOptions,
)
class VipLlava(ImageTextToText):
    """As `ImageTextToText`, with the model's own conversation in place of a chat template.

    Pictures are padded to squares: the encoder crops the middle, and would cut regions at the sides.
    """

    def __init__(self, model: str = VIP_LLAVA, *, options: GreedyOptions) -> None:
        super().__init__(model, options=options, name="vip_llava", model_type="vipllava")

    def _inputs(self, processor: Any, images: Sequence[Image.Image], prompt: str) -> Any:
        fill = tuple(round(255 * value) for value in processor.image_processor.image_mean)
        squares = [padded_to_square(image, fill) for image in images]
        texts = [TEMPLATE.replace("{prompt}", prompt)] * len(images)
        return processor(text=texts, images=squares, padding=True, return_tensors="pt")


def padded_to_square(image: Image.Image, fill: tuple[int, ...]) -> Image.Image:
    """The image in the middle of a square of its longer side."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), fill)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
