"""BSRGAN's extended degradation: two rounds, with shot noise and speckle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_tools.degradations.bsrgan import (
    BlurDraw,
    NoiseDraw,
    draw_blur,
    draw_noise,
    draw_quality,
    draw_seed,
    pick_resize,
    softened,
)
from data_tools.degradations.contract import Degradation, check_strength
from data_tools.degradations.steps import Record
from registry import DEGRADATIONS

_RARE = 0.1  # of shot noise and speckle


@DEGRADATIONS.register(
    "bsrgan_plus",
    summary="BSRGAN's extended degradation: two rounds of blur, resize, noise, shot noise and speckle, JPEG between and after",
    source="Zhang et al. 2021, degradation_bsrgan_plus of the published code, without sharpening",
)
class BsrganPlus(Degradation):
    """BSRGAN's extended degradation, without its camera model, and without sharpening the photo: a photo is never altered.

    Args:
        factor: 4 or 2.
        strength: 0 .. 1, scales ranges and probabilities as ``scaled`` of `bsrgan` does; photons grow by 1 / strength squared.
        shuffle: probability that all steps are shuffled, not only the kinds of noise within each round.
    """

    def __init__(self, factor: int = 4, strength: float = 1.0, shuffle: float = 0.5) -> None:
        super().__init__(factor, strength)
        self.shuffle = shuffle

    @property
    def identity(self) -> str:
        return f"bsrgan_plus factor={self.factor} shuffle={self.shuffle:g}"

    def records(self, rng: np.random.Generator, strengths: Sequence[float]) -> list[Record]:
        order, rounds = _draw_order(rng, self.shuffle), (_draw_round(rng), _draw_round(rng))
        qualities, by = (draw_quality(rng), draw_quality(rng)), pick_resize(rng)
        found = []
        for strength in strengths:
            f = check_strength(strength)
            record: Record = {"degradation": "bsrgan_plus", "factor": self.factor, "strength": f}
            record |= rounds[0].settings("1", f, self.factor) | rounds[1].settings("2", f, self.factor)
            record |= {"jpeg1_quality": softened(qualities[0], f), "jpeg2_quality": softened(qualities[1], f)}
            record |= {"fit_by": by, "fit_to": self.factor}
            rare = {
                f"{kind}{i + 1}": getattr(one, kind) for i, one in enumerate(rounds) for kind in ("poisson", "speckle")
            }
            kept = [name for name in order if name not in rare or rare[name] < _RARE * f]
            found.append({**record, "order": " ".join([*kept, "fit", "jpeg2"])})
        return found


@dataclass(frozen=True)
class _Round:
    blur: BlurDraw
    resize: float
    ratio: float
    by: str
    noise: NoiseDraw
    poisson: float
    photons: float
    grey: bool
    poisson_seed: int
    speckle: float
    speckle_noise: NoiseDraw

    def settings(self, number: str, strength: float, factor: int) -> Record:
        photons = 10 ** (2 + 2 * self.photons) / max(strength, 1e-3) ** 2  # noise goes with 1 / sqrt(photons)
        record = self.blur.settings(f"blur{number}", strength, factor)
        record |= {f"resize{number}_by": self.by, f"resize{number}_ratio": self._resize_ratio(strength, factor)}
        record |= self.noise.settings(f"noise{number}", strength)
        record |= self.speckle_noise.settings(f"speckle{number}", strength)
        name = f"poisson{number}"
        return record | {f"{name}_photons": photons, f"{name}_grey": self.grey, f"{name}_seed": self.poisson_seed}

    def _resize_ratio(self, strength: float, factor: int) -> float:
        """Up to 2 (1 in 5), down to 1 / (2 factor) (7 in 10), or none."""
        if self.resize > 0.8:
            return 1 + strength * self.ratio
        if self.resize < 0.7:
            return 1 - strength * self.ratio * (1 - 0.5 / factor)
        return 1.0


def _draw_round(rng: np.random.Generator) -> _Round:
    return _Round(
        blur=draw_blur(rng),
        resize=rng.random(),
        ratio=rng.random(),
        by=pick_resize(rng),
        noise=draw_noise(rng),
        poisson=rng.random(),
        photons=rng.random(),
        grey=rng.random() >= 0.5,
        poisson_seed=draw_seed(rng),
        speckle=rng.random(),
        speckle_noise=draw_noise(rng),
    )


def _draw_order(rng: np.random.Generator, shuffle: float) -> list[str]:
    """Of the published thirteen steps the eleven that can be done."""
    all_of_them, noises = rng.random(), (rng.permutation(3), rng.permutation(3))
    order = []
    for number, kinds in zip(("1", "2"), noises, strict=True):
        order += [f"blur{number}", f"resize{number}"]
        order += [f"{('noise', 'poisson', 'speckle')[i]}{number}" for i in kinds]
        order += ["jpeg1"] if number == "1" else []
    mixed = [order[i] for i in rng.permutation(len(order))]
    return mixed if all_of_them < shuffle else order
