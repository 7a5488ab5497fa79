"""PSNR and SSIM as differences."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from metrics import TrainingFreeMetric
from registry import METRICS, UserError

BORDER = 5  # half of SSIM's window of 11


@METRICS.register("psnr", summary="1 - PSNR / peak_db", source="ITU-T J.340")
class Psnr(TrainingFreeMetric):
    """Peak signal-to-noise ratio over all pixels and channels, in dB, as 1 - PSNR / `peak_db`, clipped to [0, 1].

    Images closer than `peak_db` all score 0. Ranks are those of -PSNR.
    """

    def __init__(self, peak_db: float = 100.0) -> None:
        super().__init__()
        if peak_db <= 0:
            raise UserError(f"psnr needs peak_db > 0, not {peak_db:g}")
        self.peak_db = float(peak_db)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        error = (reference - candidate).square().mean(dim=(1, 2, 3))  # (B,)
        decibel = -10.0 * torch.log10(error.clamp(min=10.0 ** (-self.peak_db / 10.0)))
        return (1.0 - decibel / self.peak_db).clamp(0.0, 1.0)


@METRICS.register("ssim", summary="1 - SSIM", source="Wang et al. 2004")
class Ssim(TrainingFreeMetric):
    """Structural similarity (Gaussian window of 11, sigma 1.5), as 1 - SSIM, clipped to [0, 1]."""

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        if min(reference.shape[-2:]) <= 2 * BORDER:
            raise UserError(f"ssim needs images of at least {2 * BORDER + 1}x{2 * BORDER + 1} pixels")
        # torchmetrics averages the padded borders in; the paper, and scikit-image, leave them out
        _, similarity = structural_similarity_index_measure(
            candidate, reference, data_range=1.0, reduction="none", return_full_image=True
        )
        difference = 1.0 - similarity[:, :, BORDER:-BORDER, BORDER:-BORDER].mean(dim=(1, 2, 3))  # (B,)
        equal = (reference == candidate).flatten(1).all(dim=1)  # rounding leaves 1 - SSIM near 1e-7 for equal images
        return torch.where(equal, torch.zeros_like(difference), difference).clamp(0.0, 1.0)
