"""Settings of `semfid label`, and the plugins that they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from data_tools.region_maps.pipeline import PROMPT as OUTLINED
from metrics.captions import PROMPT
from models.captioners.overlay import Contour
from models.segmenters.region_store import MapFormat
from registry import CAPTIONERS, DUAL_ENCODERS, SEGMENTERS, TEXT_ENCODERS, Registry
from semfid.settings import PluginSpec, Settings

STORED = "regions"  # the folder beside the table in which `stored` looks
REGISTRIES: Mapping[str, Registry[Any]] = {
    "segmenter": SEGMENTERS,
    "captioner": CAPTIONERS,
    "embedder": TEXT_ENCODERS,
    "tower": DUAL_ENCODERS,
}
EXAMPLE = "captioner.name=blip or device=cpu"


def default_name(name: str) -> BeforeValidator:
    """Of a plugin of which only keywords are given."""

    def named(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {"name": name, **value}
        if not isinstance(value, (str, PluginSpec)):
            raise ValueError("must be a name, or a mapping with a name")
        return value

    return BeforeValidator(named)


def _not_empty(prompt: str) -> str:
    if not prompt.strip():
        raise ValueError("prompt is empty; leave it out for the default")
    return prompt


Prompt = Annotated[str, AfterValidator(_not_empty)]
Captioner = Annotated[PluginSpec, default_name("qwen2_vl")]
Embedder = Annotated[PluginSpec, default_name("minilm")]
DualEncoderSpec = Annotated[PluginSpec, default_name("open_clip")]


class LabelSettings(Settings):
    """What all labels take."""

    batch_size: int | None = Field(default=None, ge=1)
    device: str = "auto"
    plugins: list[str] = Field(default=[])


class MapSettings(LabelSettings):
    """Of `maps`."""

    segmenter: Annotated[PluginSpec, default_name("oneformer")] = PluginSpec(name="oneformer")
    captioner: Annotated[PluginSpec, default_name("vip_llava")] = PluginSpec(name="vip_llava")
    embedder: Embedder = PluginSpec(name="minilm")
    prompt: Prompt = OUTLINED
    contour: Contour = 3
    min_area: float = Field(default=0.005, ge=0, lt=1)
    map_format: MapFormat = "npy"
    folder: str | None = None

    @field_validator("contour")
    @classmethod
    def _visible(cls, contour: Contour) -> Contour:
        if contour != "scaled" and contour < 1:
            raise ValueError("must be 1 or more")
        return contour


class ImageSettings(LabelSettings):
    """What labels of whole images take."""

    pairs: Literal["reference", "all"] = "reference"
    drop_unlabelled: bool = False
    cache: str = ".cache"


class CaptionSettings(ImageSettings):
    """Of `captions`, and of what is made from them."""

    captioner: Captioner = PluginSpec(name="qwen2_vl")
    prompt: Prompt = PROMPT
    captions: Literal["make", "table"] = "make"


class C2cSettings(CaptionSettings):
    """Of `c2c`."""

    embedder: Embedder = PluginSpec(name="minilm")


class C2iSettings(CaptionSettings):
    """Of `c2i`."""

    tower: DualEncoderSpec = PluginSpec(name="open_clip")


class I2iSettings(ImageSettings):
    """Of `i2i`."""

    tower: DualEncoderSpec = PluginSpec(name="open_clip")


SCHEMAS: Mapping[str, type[LabelSettings]] = {
    "maps": MapSettings,
    "captions": CaptionSettings,
    "c2c": C2cSettings,
    "c2i": C2iSettings,
    "i2i": I2iSettings,
}


def plugin(settings: LabelSettings, section: str, table: Path) -> tuple[str, dict[str, Any]]:
    """Name and checked keywords of a plugin.

    `device` and `batch_size` go to a plugin that takes them and sets no own; not to an embedder: sentences are small.

    Raises:
        RegistryError: an unknown name or keyword.
    """
    spec: PluginSpec = getattr(settings, section)
    name, own, registry = spec.name, spec.keywords, REGISTRIES[section]
    takes = registry.get(name).keywords
    for key in ("device", "batch_size") if section != "embedder" else ():
        if key in takes and key not in own and getattr(settings, key) is not None:
            own[key] = getattr(settings, key)
    if name == "stored" and "folder" in takes and "folder" not in own:
        own["folder"] = str(table.parent / STORED)
    registry.check(name, own)
    return name, own
