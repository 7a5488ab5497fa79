"""Settings of `semfid build sr-outputs`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from data_tools.builders.core.photo_folder import PhotoSettings
from data_tools.builders.core.settings import Number, TableName
from data_tools.builders.sr_outputs.selection import SelectionSettings
from data_tools.builders.upscalers.contract import FACTOR, Upscaler, build_upscaler
from data_tools.degradations import Degradation, build_degradation
from data_tools.degradations.contract import LEAST_PIXELS
from models.hub import device_of
from registry import UPSCALERS
from semfid.errors import UserError
from semfid.settings import Settings

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class ScoreSettings(Settings):
    """What is measured beside SSIM.

    Attributes:
        lpips: ``alex`` or ``vgg``; null: not measured.
        lpips_weights: torchvision's checkpoint of that net on disk; null: torchvision's cache or download.
        quality: no-reference measure: one of `semfid list quality_metrics`, alone or as ``{name: pyiqa, metric: musiq}``, or
            ``module:function``; null: none.
    """

    lpips: Literal["alex", "vgg"] | None = None
    lpips_weights: str | None = None
    quality: str | dict[str, Any] | None = "deblocked_sharpness"


class SrSettings(Settings):
    """All keys of the YAML.

    Attributes:
        out: folder of the build.
        upscalers: label -> plugin with its keywords, such as ``swinir: {name: swinir, weights: weights/swinir.pth}``. The label
            stands in folders and in the column model.
        degradation: plugin with its keywords.
        strengths: of the degradation, each in (0, 1].
        seed: of the degradations, of splits without a CSV, and of the selection.
        device: where models run; ``auto``: this process's GPU, else the CPU.
        workers: processes that degrade and score; ``auto``: one for each core, 0: none beside this one. Files and tables do not
            depend on it.
        table: name of the pair table; .csv or .parquet. The selection lies beside it, with selected_ before its name.
        plugins: modules with upscalers or degradations of your own.
    """

    out: str
    photos: PhotoSettings
    upscalers: dict[str, Any]
    degradation: dict[str, Any] = Field(default={"name": "bsrgan"})
    strengths: list[Number] = Field(default=[0.3, 0.7, 1.0])
    scores: ScoreSettings = ScoreSettings()
    selection: SelectionSettings = SelectionSettings()
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    table: TableName = "pairs.csv"
    plugins: list[str] = Field(default=[])

    @field_validator("upscalers")
    @classmethod
    def _labels(cls, upscalers: dict[str, Any]) -> dict[str, Any]:
        if not upscalers:
            raise ValueError("names no model; give one, such as bicubic: {name: bicubic}")
        for label in upscalers:
            if not _LABEL.fullmatch(label):
                raise ValueError(f"{label} must be letters, digits and . _ - (it names a folder)")
        return upscalers

    @field_validator("strengths")
    @classmethod
    def _strengths(cls, strengths: list[Number]) -> list[Number]:
        if not strengths:
            raise ValueError("is empty; give one or more in 0 .. 1")
        if not all(0 < strength <= 1 for strength in strengths):
            raise ValueError("must lie above 0 and up to 1")
        if len({f"{strength:g}" for strength in strengths}) < len(strengths):
            raise ValueError("has one twice")
        return strengths

    @field_validator("photos")
    @classmethod
    def _large_enough(cls, photos: PhotoSettings) -> PhotoSettings:
        least = LEAST_PIXELS * FACTOR
        if photos.min_side < least:
            raise ValueError(f"min_side={photos.min_side} must be {least} or more")
        return photos

    def stamp(self, degradation: Degradation) -> dict[str, Any]:
        """What must stay the same in a folder. Models, scores and selections may change: what they touch is made again."""
        return {
            "degradation": degradation.identity,
            "strengths": self.strengths,
            "seed": self.seed,
            "scale": FACTOR,
        }

    def build_degradation(self) -> Degradation:
        """Raises a UserError or RegistryError for a degradation that cannot be."""
        name, keywords = named_plugin("degradation", {"name": "bsrgan", **self.degradation})
        if "strength" in keywords:
            raise UserError("degradation.strength has no meaning here; set strengths")
        degradation = build_degradation(name, keywords)
        if degradation.factor != FACTOR:
            raise UserError(
                f"degradation.factor={degradation.factor}: models make images {FACTOR} times larger; set it to {FACTOR}"
            )
        return degradation

    def build_upscalers(self) -> dict[str, Upscaler]:
        """By label; raises a UserError or RegistryError for a model that cannot be."""
        found = {}
        for label, given in self.upscalers.items():
            name, keywords = named_plugin(f"upscalers.{label}", given)
            if "device" in UPSCALERS.get(name).keywords:
                keywords.setdefault("device", device_of("build", self.device))
            found[label] = build_upscaler(name, keywords)
        return found


def named_plugin(key: str, given: Any) -> tuple[str, dict[str, Any]]:
    """Name and keywords of a plugin's setting; raises a UserError for one without a name."""
    keywords = {"name": given} if isinstance(given, str) else given
    if not isinstance(keywords, dict) or not isinstance(keywords.get("name"), str):
        raise UserError(f"{key}={given!r} must be a name, or a mapping with a name")
    return keywords["name"], {str(name): value for name, value in keywords.items() if name != "name"}
