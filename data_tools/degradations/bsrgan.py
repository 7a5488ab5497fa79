"""The degradation of BSRGAN over a whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from data_tools.degradations.contract import Degradation, check_strength
from data_tools.degradations.operations import Image, shrink_bicubic
from data_tools.degradations.steps import Record
from registry import DEGRADATIONS

Reading = Literal["scaled", "blended"]
BEST, WORST = 95, 30  # JPEG qualities
NOISE = (2, 25)  # grey levels
_RESIZES = ("linear", "cubic", "area")


@DEGRADATIONS.register(
    "bsrgan",
    summary="blur twice, two-step downsampling, noise and JPEG in random order (BSRGAN), with a strength",
    source="Zhang et al. 2021, Designing a Practical Degradation Model for Deep Blind Image Super-Resolution",
)
class Bsrgan(Degradation):
    """BSRGAN's degradation, without its camera model, which was never published.

    Steps, shuffled but for `shrink`, which comes before `fit`: two blurs (anisotropic or isotropic Gaussian), `shrink` by a
    random ratio (or by a shifted Gaussian and decimation), `fit` to the size sought, noise (colour, grey, or correlated
    between channels), JPEG (9 times in 10). Before them, for factor 4, one time in 4, `pre` halves the image; after them there
    is always a JPEG.

    Args:
        factor: 4 or 2.
        strength: 0 .. 1. At 1 it is the published degradation.
        reading: what a strength f means. ``scaled`` shrinks the ranges: widths of kernels and levels of noise by f, `shrink` to
            1 .. 1 + f (2 factor - 1), JPEG quality to 95 - f (95 - drawn), the probabilities of `pre` and of the first JPEG
            by f. ``blended`` mixes f of the full degradation with 1 - f of a bicubic downsampling.
    """

    def __init__(self, factor: int = 4, strength: float = 1.0, reading: Reading = "scaled") -> None:
        super().__init__(factor, strength)
        self.reading = reading

    @property
    def identity(self) -> str:
        return f"bsrgan factor={self.factor} reading={self.reading}"

    def records(self, rng: np.random.Generator, strengths: Sequence[float]) -> list[Record]:
        draws = _draw(rng)
        return [self._record(draws, check_strength(strength)) for strength in strengths]

    def apply(self, image: Image, record: Any) -> Image:
        degraded = super().apply(image, record)
        if record["reading"] != "blended":
            return degraded
        f = np.float32(record["strength"])
        return f * degraded + (1 - f) * shrink_bicubic(image, self.factor)

    def _record(self, draws: _Draws, strength: float) -> Record:
        f = strength if self.reading == "scaled" else 1.0
        record: Record = {
            "degradation": "bsrgan",
            "factor": self.factor,
            "strength": strength,
            "reading": self.reading,
            "order": "",
        }
        order, rest = [], self.factor  # the factor that the steps below have to reach
        if self.factor == 4 and draws.pre < 0.25 * f:
            order.append("pre")
            record["pre_by"] = draws.pre_by
            rest = 2
        for name in draws.order:
            if name != "jpeg1" or draws.jpeg < 0.9 * f:
                order.append(name)
        for name, blur in zip(("blur1", "blur2"), draws.blurs, strict=True):
            record |= blur.settings(name, f, rest)
        record |= draws.shrink_settings(f, rest)
        record |= {"fit_by": draws.fit_by, "fit_to": rest}
        record |= draws.noise.settings("noise1", f)
        if "jpeg1" in order:
            record["jpeg1_quality"] = softened(draws.qualities[0], f)
        record["jpeg2_quality"] = softened(draws.qualities[1], f)
        record["order"] = " ".join([*order, "jpeg2"])
        return record


def softened(quality: int, strength: float) -> int:
    """A JPEG quality moved towards the best."""
    return round(BEST - strength * (BEST - quality))


@dataclass(frozen=True)
class BlurDraw:
    """Shares in [0, 1) where a range depends on the factor."""

    anisotropic: bool
    size: int
    theta: float
    first: float
    second: float
    sigma: float

    def settings(self, name: str, strength: float, factor: int) -> Record:
        if not self.anisotropic:
            sigma = strength * self.sigma * (2 + 0.2 * factor)
            return {f"{name}_kernel": "isotropic", f"{name}_size": self.size, f"{name}_sigma": sigma}
        variance = strength**2 * (4 + factor)  # widths are scaled, their squares stand here
        return {
            f"{name}_kernel": "anisotropic",
            f"{name}_size": self.size,
            f"{name}_theta": self.theta,
            f"{name}_first": variance * self.first,
            f"{name}_second": variance * self.second,
        }


@dataclass(frozen=True)
class NoiseDraw:
    """`kind` in [0, 1): above 0.6 colour, below 0.4 grey, else correlated."""

    kind: float
    level: int
    covariance: tuple[float, ...]
    seed: int

    def settings(self, name: str, strength: float) -> Record:
        record: Record = {f"{name}_seed": self.seed}
        if 0.4 <= self.kind <= 0.6:
            scale = (strength * NOISE[1] / 255) ** 2  # the published code takes the top level here, not the drawn one
            return record | {f"{name}_kind": "correlated", f"{name}_covariance": [scale * c for c in self.covariance]}
        level = strength * self.level / 255
        return record | {f"{name}_kind": "color" if self.kind > 0.6 else "grey", f"{name}_level": level}


@dataclass(frozen=True)
class _Draws:
    pre: float
    pre_by: str
    order: tuple[str, ...]
    blurs: tuple[BlurDraw, BlurDraw]
    shrink: float
    shrink_by: str
    ratio: float
    sigma: float
    fit_by: str
    noise: NoiseDraw
    jpeg: float
    qualities: tuple[int, int]

    def shrink_settings(self, strength: float, factor: int) -> Record:
        if self.shrink < 0.75:
            return {"shrink_by": self.shrink_by, "shrink_ratio": 1 + strength * self.ratio * (2 * factor - 1)}
        sigma = strength * (0.1 + self.sigma * (0.6 * factor - 0.1))
        return {"shrink_by": "kernel", "shrink_sigma": sigma, "shrink_step": factor}


def _draw(rng: np.random.Generator) -> _Draws:
    """Every number that any branch may need, so that what one image takes from the generator never varies."""
    pre, halved, pre_by = rng.random(), rng.random(), pick_resize(rng)
    order = [("blur1", "blur2", "shrink", "fit", "noise1", "jpeg1")[i] for i in rng.permutation(6)]
    i, j = order.index("shrink"), order.index("fit")
    if i > j:
        order[i], order[j] = order[j], order[i]
    return _Draws(
        pre=pre,
        pre_by=pre_by if halved < 0.5 else "bicubic",
        order=tuple(order),
        blurs=(draw_blur(rng), draw_blur(rng)),
        shrink=rng.random(),
        shrink_by=pick_resize(rng),
        ratio=rng.random(),
        sigma=rng.random(),
        fit_by=pick_resize(rng),
        noise=draw_noise(rng),
        jpeg=rng.random(),
        qualities=(draw_quality(rng), draw_quality(rng)),
    )


def draw_blur(rng: np.random.Generator) -> BlurDraw:
    """Kernel size, angle and widths of one blur."""
    return BlurDraw(
        anisotropic=rng.random() < 0.5,
        size=2 * int(rng.integers(2, 12)) + 3,  # 7, 9, .. 25
        theta=float(rng.random() * np.pi),
        first=rng.random(),
        second=rng.random(),
        sigma=rng.random(),
    )


def draw_noise(rng: np.random.Generator) -> NoiseDraw:
    """Kind, level in grey values and channel covariance of one noise."""
    kind, level = rng.random(), int(rng.integers(NOISE[0], NOISE[1] + 1))
    axes = np.linalg.svd(rng.random((3, 3)))[0]
    covariance = np.abs(axes.T @ np.diag(rng.random(3)) @ axes)
    return NoiseDraw(kind, level, tuple(float(c) for c in covariance.ravel()), draw_seed(rng))


def draw_quality(rng: np.random.Generator) -> int:
    """Quality of one JPEG step."""
    return int(rng.integers(WORST, BEST + 1))


def draw_seed(rng: np.random.Generator) -> int:
    """Seed of one step."""
    return int(rng.integers(2**32))


def pick_resize(rng: np.random.Generator) -> str:
    """Interpolation of one resize."""
    return _RESIZES[int(rng.integers(3))]
