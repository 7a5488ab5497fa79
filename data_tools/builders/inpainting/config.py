"""The settings of `semfid build inpainting`."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from data_tools.builders.core.instance_filters import Filters
from data_tools.builders.core.masks import SHAPES
from data_tools.builders.core.quality import Checks
from data_tools.builders.core.settings import Number, Split, TableName
from semfid.errors import did_you_mean
from semfid.settings import Settings

SAME_CLASS, SAME_SUPER, OTHER_SUPER = "same_class", "same_supercategory", "other_supercategory"
LEVELS = (SAME_CLASS, SAME_SUPER, OTHER_SUPER)
Levels = TypeVar("Levels", list[str], dict[str, str], dict[str, Number])
WHERE_AND_HOW_FAST = ("out", "photos", "table", "device", "plugins", "inpainter")
"""Settings that the stamp leaves out; of photos and inpainter it has the content's hash and the identity."""


class Photos(Settings):
    """Where the photos are.

    Attributes:
        images: folder of the images.
        instances: COCO's instances_*.json.
        captions: COCO's captions_*.json, for prompts with {caption}.
    """

    images: str
    instances: str
    captions: str | None = None


class MaskSettings(Settings):
    """How an object's mask becomes what is painted anew, and how that is pasted.

    Attributes:
        dilate: diameter of the widening ellipse as a share of the image's diagonal.
        feather: pixels outside of what is painted over which it fades into the photo.
        shape: by level: ``segmentation``, ``dilated``, or ``box`` (hides the old object's outline). An inpainter that must
            have its own shape (patch_donor) takes that.
        label: what a map calls changed. ``object``: the old object's mask and what the new one covers, where the inpainter
            knows it. ``repaint``: all that was painted anew.
    """

    dilate: float = Field(default=0.02, ge=0, lt=0.5)
    feather: int = Field(default=7, ge=0)
    shape: dict[str, str] = Field(default={})
    label: Literal["object", "repaint"] = "object"

    @field_validator("shape")
    @classmethod
    def _known_shapes(cls, shapes: dict[str, str]) -> dict[str, str]:
        _check_levels(shapes)
        for level, shape in shapes.items():
            if shape not in SHAPES:
                raise ValueError(f"{level}={shape} must be one of {', '.join(SHAPES)}")
        return shapes

    def shape_of(self, level: str) -> Any:
        return self.shape.get(level, "segmentation" if level == SAME_CLASS else "dilated")


class InpaintingConfig(Settings):
    """One set of inpainted photos.

    Attributes:
        out: folder of the set.
        inpainter: ``{name: <inpainter>, keywords}``.
        levels: which substitutions are made.
        instances_per_image: objects of a photo that are painted over per level.
        filters: what objects must be.
        donors: what objects must be to be put into other photos (patch_donor); of the mask, only that it is in one piece.
        prompt: with {category}, {article} (a or an) and {caption}.
        difference: label of a whole pair by level; left out: 0 for same_class, else 1.
        seed: of all draws.
        table: name of the pair table, .csv or .parquet.
        references: ``source``: the table leads to the photos where they are; ``copy``: they are copied into the set.
        device: ``auto``, cpu, cuda, cuda:1, ...
        plugins: modules or files to import.
    """

    out: str
    photos: Photos
    inpainter: dict[str, Any]
    levels: list[str] = Field(default=list(LEVELS), min_length=1)
    instances_per_image: int = Field(default=1, ge=1)
    filters: Filters = Filters()
    donors: Filters = Filters.model_construct(
        short_side=0, area=(0.01, 0.9), box_side=48, border=2, connected=0, overlap=1, sharpness=0
    )  # not validated: hashes of builds tell 48 from 48.0
    masks: MaskSettings = MaskSettings()
    prompt: str = "a photo of {article} {category}"
    checks: Checks = Checks()
    difference: dict[str, Number] = Field(default={})
    split: Split = Split()
    seed: int = 0
    table: TableName = "pairs.csv"
    references: Literal["source", "copy"] = "source"
    device: str = "auto"
    plugins: list[str] = Field(default=[])

    @field_validator("levels")
    @classmethod
    def _known_levels(cls, levels: list[str]) -> list[str]:
        return _check_levels(levels)

    @field_validator("difference")
    @classmethod
    def _differences(cls, differences: dict[str, Number]) -> dict[str, Number]:
        _check_levels(differences)
        for level, value in differences.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{level}={value} must lie in 0 .. 1")
        return differences

    @field_validator("inpainter")
    @classmethod
    def _named(cls, inpainter: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(inpainter.get("name"), str):
            raise ValueError("needs a name, such as patch_donor")
        return inpainter

    @field_validator("prompt")
    @classmethod
    def _fields_of_prompt(cls, prompt: str) -> str:
        try:
            prompt.format(category="", article="", caption="")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError("use {category}, {article} and {caption} only") from error
        return prompt

    @model_validator(mode="after")
    def _captions_are_there(self) -> InpaintingConfig:
        if "{caption}" in self.prompt and self.photos.captions is None:
            raise ValueError("prompt has {caption}, and photos.captions is not set")
        return self

    def stamp(self, photos: str, inpainter: str) -> dict[str, Any]:
        """What the content depends on, with the hash of the JSON files and the inpainter's identity."""
        return {**self.model_dump(exclude=set(WHERE_AND_HOW_FAST)), "photos": photos, "inpainter": inpainter}

    def difference_of(self, level: str) -> float:
        return float(self.difference.get(level, 0.0 if level == SAME_CLASS else 1.0))


def _check_levels(levels: Levels) -> Levels:
    for name in levels:
        if name not in LEVELS:
            raise ValueError(f"no level '{name}'{did_you_mean(name, LEVELS)} (there are: {', '.join(LEVELS)})")
    return levels
