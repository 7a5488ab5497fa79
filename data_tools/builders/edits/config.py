"""The settings of `semfid build edits`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field, field_validator

from data_tools.builders.core.instance_filters import Filters
from data_tools.builders.core.settings import Number, Range, Split, TableName
from data_tools.builders.edits.photos import CocoFolder
from data_tools.builders.edits.scene import Fit
from semfid.errors import UserError, did_you_mean
from semfid.settings import Settings

WHERE_AND_HOW_FAST = ("out", "photos", "table", "device", "plugins", "after", "ocr", "kinds", "split")
"""Settings that the stamp leaves out; of photos, models and the reader it has hashes and identities. More kinds may be asked of a
finished set, and the split is drawn when the table is written."""


class After(Settings):
    """What a share of the pairs passes through after the edit: a degradation to a quarter of the size, then a model for x4.

    Attributes:
        share: of all pairs.
        degradation: plugin with its keywords.
        strength: least and most strength of the degradation, 0 .. 1; each pair draws its own.
        upscaler: plugin with its keywords.
    """

    share: float = Field(default=0.5, ge=0, le=1)
    degradation: dict[str, Any] = Field(default={"name": "bsrgan"})
    strength: Range = (0.1, 0.5)
    upscaler: dict[str, Any] = Field(default={"name": "bicubic"})


class EditsConfig(Settings):
    """One set of edits.

    Attributes:
        out: folder of the set.
        photos: label -> where the photos of a source are: ``{images, instances, prefix}``.
        kinds: kind -> how many pairs of it a photo gives; 0.25 gives one of four photos a pair. See `edits_kinds.KINDS`.
        fit: what of a photo stands in the set.
        filters: what objects must be to be edited.
        hard_area: least and most share of the photo of objects in hard edits, which are small and matched in colour.
        donors: what objects must be to be put into other photos.
        strength: least and most strength of the local and global degradations, 0 .. 1.
        least_change: mean absolute difference (0 .. 1) that a change of meaning must make where the map is; less is rejected:
            nobody would see it.
        least_left: the same of a change that is degraded afterwards, measured on the degraded picture.
        after: label -> what a share of the pairs passes through afterwards.
        ocr: what finds text for the kind ``text``: ``auto``, the OCR of the extra ``text``; ``module:object``, a
            `edits_reading.FindText` of your own; null, none. Without one the kind is left out.
        format: of references and candidates. ``png`` keeps what an edit left alone to the bit.
        quality: of JPEG.
        split: shares of the photos; both 0: the table has no column split.
        seed: of all draws.
        table: name of the pair table, .csv or .parquet.
        device: where the models of `after` run.
        plugins: modules or files to import.
    """

    out: str
    photos: dict[str, CocoFolder]
    kinds: dict[str, Number] = Field(min_length=1)
    fit: Fit = Fit()
    filters: Filters = Filters.model_construct(
        short_side=0, area=(0.02, 0.5), box_side=16, border=0, connected=0.75, overlap=0.4, sharpness=0
    )  # not validated: hashes of builds tell 16 from 16.0
    hard_area: Range = (0.005, 0.04)
    donors: Filters = Filters.model_construct(
        short_side=0, area=(0.005, 0.9), box_side=40, border=2, connected=0, overlap=1, sharpness=0
    )
    strength: Range = (0.15, 1.0)
    least_change: float = 0.04
    least_left: float = 0.06
    after: dict[str, After] = Field(default={"sr": After()})
    ocr: str | None = "auto"
    format: Literal["png", "jpg"] = "png"
    quality: int = Field(default=95, ge=1, le=100)
    split: Split = Split(val=0.0, test=0.0)
    seed: int = 0
    table: TableName = "pairs.csv"
    device: str = "auto"
    plugins: list[str] = Field(default=[])

    @field_validator("photos")
    @classmethod
    def _a_source(cls, photos: dict[str, CocoFolder]) -> dict[str, CocoFolder]:
        if not photos:
            raise ValueError("must hold a source, such as coco: {images: ..., instances: ...}")
        return photos

    @field_validator("kinds")
    @classmethod
    def _numbers(cls, kinds: dict[str, Number]) -> dict[str, Number]:
        for name, number in kinds.items():
            if number < 0:
                raise ValueError(f"{name}={number} must be 0 or more")
        return kinds

    @field_validator("strength", "hard_area")
    @classmethod
    def _above_0(cls, pair: tuple[Number, Number]) -> tuple[Number, Number]:
        if pair[0] <= 0:
            raise ValueError("must be two numbers in 0 .. 1, above 0, such as [0.1, 0.6]")
        return pair

    @field_validator("after")
    @classmethod
    def _not_more_than_all(cls, after: dict[str, After]) -> dict[str, After]:
        total = sum(one.share for one in after.values())
        if total > 1:
            raise ValueError(f"{total:g} is more than all pairs; the shares must add up to 1 or less")
        return after

    def check_kinds(self, known: Iterable[str]) -> None:
        """Raise a UserError for a kind that is none of those known."""
        for name in self.kinds:
            if name not in (names := list(known)):
                raise UserError(f"kinds: no kind '{name}'{did_you_mean(name, names)} (there are: {', '.join(names)})")

    def stamp(self, photos: str, after: dict[str, Any], ocr: str) -> dict[str, Any]:
        """What the content depends on, with the hash of the photos' JSON files and the identities of models."""
        return {**self.model_dump(exclude=set(WHERE_AND_HOW_FAST)), "photos": photos, "after": after, "ocr": ocr}
