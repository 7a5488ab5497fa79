"""OneFormer, the segmenter of the published pipeline."""

from __future__ import annotations

from models.segmenters.transformers_panoptic import TransformersPanoptic
from registry import SEGMENTERS


@SEGMENTERS.register(
    "oneformer",
    summary="OneFormer Swin-L on ADE20K, task panoptic (downloads 0.9 GB)",
    source="Jain et al. 2023, arXiv 2211.06220",
)
class OneFormer(TransformersPanoptic):
    """As `TransformersPanoptic`; stuff as the model's class file says."""

    name = "oneformer"
    model_type = "oneformer"

    def __init__(
        self,
        model: str = "shi-labs/oneformer_ade20k_swin_large",
        revision: str | None = None,
        threshold: float = 0.5,
        mask_threshold: float = 0.5,
        overlap_threshold: float = 0.8,
        stuff: list[int] | None = None,
        batch_size: int = 4,
        device: str = "auto",
    ) -> None:
        super().__init__(model, revision, threshold, mask_threshold, overlap_threshold, stuff, batch_size, device)
