"""PSNR, SSIM, MS-SSIM and the squared pixel difference as differences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from metrics import TrainingFreeMetric, zero_where_equal
from registry import METRICS
from semfid.errors import UserError

BORDER = 5  # half of SSIM's window of 11
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM's five scales, finest first (table 1)


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
    """Structural similarity (Gaussian window of 11, sigma 1.5), as 1 - SSIM, clipped to [0, 1].

    The score leaves out the borders, where windows are not whole, as the paper does. The map is 1 - SSIM of the window around
    each pixel, mean over channels, with the images mirrored at their borders.
    """

    gives_maps = True

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        inner = _local_similarity(reference, candidate)[:, :, BORDER:-BORDER, BORDER:-BORDER]
        return zero_where_equal(1.0 - inner.mean(dim=(1, 2, 3)), reference, candidate)  # (B,)

    def maps(self, reference: Tensor, candidate: Tensor) -> Tensor:
        difference = 1.0 - _local_similarity(reference, candidate).mean(dim=1, keepdim=True)  # (B, 1, H, W)
        return zero_where_equal(difference, reference, candidate)


def _local_similarity(reference: Tensor, candidate: Tensor) -> Tensor:
    """SSIM of the window around each pixel, (B, 3, H, W)."""
    if min(reference.shape[-2:]) <= 2 * BORDER:
        raise UserError(f"ssim needs images of at least {2 * BORDER + 1}x{2 * BORDER + 1} pixels")
    # torchmetrics' mean would take the padded borders in; the paper, and scikit-image, leave them out
    _, similarity = structural_similarity_index_measure(
        candidate, reference, data_range=1.0, reduction="none", return_full_image=True
    )
    assert isinstance(similarity, Tensor)
    return similarity


@METRICS.register("ms_ssim", summary="1 - multi-scale SSIM", source="Wang et al. 2003")
class MsSsim(TrainingFreeMetric):
    """Multi-scale structural similarity, as 1 - MS-SSIM, clipped to [0, 1].

    Contrast and structure at every scale, luminance at the coarsest, windows that are whole; between scales the images are
    halved by means of 2 x 2 pixels. A scale's negative similarity counts as 0.

    Args:
        scales: how many of the paper's five, the finest first; their exponents are scaled to the sum of all five. The
            shorter side must have 11 * 2^(scales - 1) pixels: 176 for all five.
    """

    def __init__(self, scales: int = 5) -> None:
        super().__init__()
        if not 1 <= scales <= len(EXPONENTS):
            raise UserError(f"ms_ssim needs scales from 1 to {len(EXPONENTS)}, not {scales}")
        used = EXPONENTS[:scales]
        self.exponents = [exponent * sum(EXPONENTS) / sum(used) for exponent in used]

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        x, y = reference, candidate
        shortest, least = min(x.shape[-2:]), (2 * BORDER + 1) * 2 ** (len(self.exponents) - 1)
        if shortest < least:
            fitting = max(1, (shortest // (2 * BORDER + 1)).bit_length())
            raise UserError(
                f"ms_ssim: {len(self.exponents)} scales need images of at least {least} pixels a side, and these have "
                f"{shortest}; set scales: {fitting}, or raise data.image_size"
            )
        similarity = torch.ones(len(x), device=x.device)
        for exponent in self.exponents[:-1]:
            _, structure = structural_similarity_index_measure(
                y, x, data_range=1.0, reduction="none", return_contrast_sensitivity=True
            )  # (B,), without the borders
            assert isinstance(structure, Tensor)
            similarity = similarity * structure.clamp(min=0.0) ** exponent
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        coarsest = _local_similarity(x, y)[:, :, BORDER:-BORDER, BORDER:-BORDER].mean(dim=(1, 2, 3))  # (B,)
        similarity = similarity * coarsest.clamp(min=0.0) ** self.exponents[-1]
        return zero_where_equal(1.0 - similarity, reference, candidate)


@METRICS.register("pixel_difference", summary="mean squared pixel difference, with its map")
class PixelDifference(TrainingFreeMetric):
    """Mean squared difference of two images in [0, 1]; the map is the mean over the channels at each pixel."""

    gives_maps = True

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        return self.maps(reference, candidate).mean(dim=(1, 2, 3))  # (B,)

    def maps(self, reference: Tensor, candidate: Tensor) -> Tensor:
        return (reference - candidate).square().mean(dim=1, keepdim=True)  # (B, 1, H, W)
