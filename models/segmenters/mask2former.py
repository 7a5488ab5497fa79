"""Mask2Former."""

from __future__ import annotations

from models.segmenters.transformers_panoptic import TransformersPanoptic
from registry import SEGMENTERS


@SEGMENTERS.register(
    "mask2former",
    summary="Mask2Former Swin-L, ADE20K panoptic; or coco-panoptic through model (downloads 0.9 GB)",
    source="Cheng et al. 2022, arXiv 2112.01527",
)
class Mask2Former(TransformersPanoptic):
    """As `TransformersPanoptic`; stuff by the number of classes (ADE20K-150, COCO)."""

    name = "mask2former"
    model_type = "mask2former"

    def __init__(
        self,
        model: str = "facebook/mask2former-swin-large-ade-panoptic",
        revision: str | None = None,
        threshold: float = 0.5,
        mask_threshold: float = 0.5,
        overlap_threshold: float = 0.8,
        stuff: list[int] | None = None,
        batch_size: int = 4,
        device: str = "auto",
    ) -> None:
        super().__init__(model, revision, threshold, mask_threshold, overlap_threshold, stuff, batch_size, device)
