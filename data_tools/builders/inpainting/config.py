"""The settings of `semfid build inpainting`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from data_tools.builders.core.instance_filters import Filters
from data_tools.builders.core.masks import SHAPES
from data_tools.builders.core.quality import Checks
from data_tools.builders.core.settings import as_mapping, require
from semfid.errors import UserError, did_you_mean

SAME_CLASS, SAME_SUPER, OTHER_SUPER = "same_class", "same_supercategory", "other_supercategory"
LEVELS = (SAME_CLASS, SAME_SUPER, OTHER_SUPER)
WHERE_AND_HOW_FAST = ("out", "photos", "table", "device", "plugins", "inpainter")
"""Settings that the stamp leaves out; of photos and inpainter it has the content's hash and the identity."""


@dataclass(frozen=True)
class Photos:
    """Where the photos are.

    Attributes:
        images: folder of the images.
        instances: COCO's instances_*.json.
        captions: COCO's captions_*.json, for prompts with {caption}.
    """

    images: str
    instances: str
    captions: str | None = None


@dataclass(frozen=True)
class MaskSettings:
    """How an object's mask becomes what is painted anew, and how that is pasted.

    Attributes:
        dilate: diameter of the widening ellipse as a share of the image's diagonal.
        feather: pixels outside of what is painted over which it fades into the photo.
        shape: by level: ``segmentation``, ``dilated``, or ``box`` (hides the old object's outline). An inpainter that must
            have its own shape (patch_donor) takes that.
        label: what a map calls changed. ``object``: the old object's mask and what the new one covers, where the inpainter
            knows it. ``repaint``: all that was painted anew.
    """

    dilate: float = 0.02
    feather: int = 7
    shape: dict[str, str] = field(default_factory=dict)
    label: Literal["object", "repaint"] = "object"

    def shape_of(self, level: str) -> Any:
        return self.shape.get(level, "segmentation" if level == SAME_CLASS else "dilated")


@dataclass(frozen=True)
class Split:
    """Shares of the photos; both 0: the table has no column split."""

    val: float = 0.1
    test: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class InpaintingConfig:
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
    levels: list[str] = field(default_factory=lambda: list(LEVELS))
    instances_per_image: int = 1
    filters: Filters = field(default_factory=Filters)
    donors: Filters = field(
        default_factory=lambda: Filters(
            short_side=0, area=(0.01, 0.9), box_side=48, border=2, connected=0, overlap=1, sharpness=0
        )
    )
    masks: MaskSettings = field(default_factory=MaskSettings)
    prompt: str = "a photo of {article} {category}"
    checks: Checks = field(default_factory=Checks)
    difference: dict[str, float] = field(default_factory=dict)
    split: Split = field(default_factory=Split)
    seed: int = 0
    table: str = "pairs.csv"
    references: Literal["source", "copy"] = "source"
    device: str = "auto"
    plugins: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise a UserError for a value that cannot be."""
        self.filters.check("filters")
        self.donors.check("donors")
        self.checks.check("checks")
        require(bool(self.levels), "levels", self.levels, f"must name some of {', '.join(LEVELS)}")
        for section, names in (
            ("levels", self.levels),
            ("masks.shape", self.masks.shape),
            ("difference", self.difference),
        ):
            for name in names:
                if name not in LEVELS:
                    raise UserError(
                        f"{section}: no level '{name}'{did_you_mean(name, LEVELS)} (there are: {', '.join(LEVELS)})"
                    )
        for level, shape in self.masks.shape.items():
            require(shape in SHAPES, f"masks.shape.{level}", shape, f"must be one of {', '.join(SHAPES)}")
        for level, value in self.difference.items():
            require(0 <= value <= 1, f"difference.{level}", value, "must lie in 0 .. 1")
        require(0 <= self.masks.dilate < 0.5, "masks.dilate", self.masks.dilate, "must be 0 or more and below 0.5")
        require(self.masks.feather >= 0, "masks.feather", self.masks.feather, "must be 0 or more")
        require(self.instances_per_image >= 1, "instances_per_image", self.instances_per_image, "must be 1 or more")
        require(self.table.endswith((".csv", ".parquet")), "table", self.table, "must end in .csv or .parquet")
        require("/" not in self.table, "table", self.table, "must be a file name; it lies in `out`")
        val, test = self.split.val, self.split.test
        require(
            val >= 0 and test >= 0 and val + test < 1, "split", f"{val:g}/{test:g}", "must leave something for training"
        )
        require(
            isinstance(self.inpainter.get("name"), str),
            "inpainter",
            self.inpainter,
            "needs a name, such as patch_donor",
        )
        try:
            self.prompt.format(category="", article="", caption="")
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(f"prompt={self.prompt!r}: use {{category}}, {{article}} and {{caption}} only") from error
        if "{caption}" in self.prompt and self.photos.captions is None:
            raise UserError("prompt has {caption}, and photos.captions is not set")

    def stamp(self, photos: str, inpainter: str) -> dict[str, Any]:
        """What the content depends on, with the hash of the JSON files and the inpainter's identity."""
        return {**as_mapping(self, WHERE_AND_HOW_FAST), "photos": photos, "inpainter": inpainter}

    def difference_of(self, level: str) -> float:
        return float(self.difference.get(level, 0.0 if level == SAME_CLASS else 1.0))
