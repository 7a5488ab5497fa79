"""The settings of `semfid build edits`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from data_tools.builders.core.instance_filters import Filters
from data_tools.builders.core.settings import as_mapping, require
from data_tools.builders.edits.photos import CocoFolder
from data_tools.builders.edits.scene import Fit
from data_tools.builders.inpainting.config import Split
from semfid.errors import UserError, did_you_mean

WHERE_AND_HOW_FAST = ("out", "photos", "table", "device", "plugins", "after", "ocr", "kinds", "split")
"""Settings that the stamp leaves out; of photos, models and the reader it has hashes and identities. More kinds may be asked of a
finished set, and the split is drawn when the table is written."""


@dataclass(frozen=True)
class After:
    """What a share of the pairs passes through after the edit: a degradation to a quarter of the size, then a model for x4.

    Attributes:
        share: of all pairs.
        degradation: plugin with its keywords.
        strength: least and most strength of the degradation, 0 .. 1; each pair draws its own.
        upscaler: plugin with its keywords.
    """

    share: float = 0.5
    degradation: dict[str, Any] = field(default_factory=lambda: {"name": "bsrgan"})
    strength: tuple[float, float] = (0.1, 0.5)
    upscaler: dict[str, Any] = field(default_factory=lambda: {"name": "bicubic"})


@dataclass(frozen=True)
class EditsConfig:
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
    kinds: dict[str, float]
    fit: Fit = field(default_factory=Fit)
    filters: Filters = field(
        default_factory=lambda: Filters(
            short_side=0, area=(0.02, 0.5), box_side=16, border=0, connected=0.75, overlap=0.4, sharpness=0
        )
    )
    hard_area: tuple[float, float] = (0.005, 0.04)
    donors: Filters = field(
        default_factory=lambda: Filters(
            short_side=0, area=(0.005, 0.9), box_side=40, border=2, connected=0, overlap=1, sharpness=0
        )
    )
    strength: tuple[float, float] = (0.15, 1.0)
    least_change: float = 0.04
    least_left: float = 0.06
    after: dict[str, After] = field(default_factory=lambda: {"sr": After()})
    ocr: str | None = "auto"
    format: Literal["png", "jpg"] = "png"
    quality: int = 95
    split: Split = field(default_factory=lambda: Split(val=0.0, test=0.0))
    seed: int = 0
    table: str = "pairs.csv"
    device: str = "auto"
    plugins: list[str] = field(default_factory=list)

    def check(self, known: Any) -> None:
        """Raise a UserError for a value that cannot be; `known` are the names of the kinds."""
        self.filters.check("filters")
        self.donors.check("donors")
        require(bool(self.kinds), "kinds", self.kinds, f"must give numbers to some of {', '.join(known)}")
        for name, number in self.kinds.items():
            if name not in known:
                raise UserError(f"kinds: no kind '{name}'{did_you_mean(name, known)} (there are: {', '.join(known)})")
            require(number >= 0, f"kinds.{name}", number, "must be 0 or more")
        for key, pair in (("strength", self.strength), ("hard_area", self.hard_area)):
            ordered = len(pair) == 2 and 0 < pair[0] <= pair[1] <= 1
            require(
                ordered, key, list(pair), "must be two numbers in 0 .. 1, the smaller one first, such as [0.1, 0.6]"
            )
        longest = self.fit.longest
        require(longest is None or longest >= 64, "fit.longest", longest, "must be null, or 64 or more")
        require(1 <= self.quality <= 100, "quality", self.quality, "must lie in 1 .. 100")
        require(self.table.endswith((".csv", ".parquet")), "table", self.table, "must end in .csv or .parquet")
        require("/" not in self.table, "table", self.table, "must be a file name; it lies in `out`")
        val, test = self.split.val, self.split.test
        require(
            val >= 0 and test >= 0 and val + test < 1, "split", f"{val:g}/{test:g}", "must leave something for training"
        )
        require(
            bool(self.photos), "photos", self.photos, "must hold a source, such as coco: {images: ..., instances: ...}"
        )
        for label, one in self.after.items():
            low, high = one.strength
            require(0 <= one.share <= 1, f"after.{label}.share", one.share, "must lie in 0 .. 1")
            ordered = 0 <= low <= high <= 1
            require(
                ordered, f"after.{label}.strength", [low, high], "must be two numbers in 0 .. 1, such as [0.1, 0.6]"
            )
        total = sum(one.share for one in self.after.values())
        require(total <= 1, "after", f"{total:g}", "is more than all pairs; the shares must add up to 1 or less")

    def stamp(self, photos: str, after: dict[str, Any], ocr: str) -> dict[str, Any]:
        """What the content depends on, with the hash of the photos' JSON files and the identities of models."""
        return {**as_mapping(self, WHERE_AND_HOW_FAST), "photos": photos, "after": after, "ocr": ocr}
