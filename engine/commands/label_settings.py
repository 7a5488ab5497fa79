"""Settings of `semfid label`: a file and ``key=value`` in, checked; plugins' names and keywords out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_tools.region_maps.pipeline import PROMPT as OUTLINED
from metrics.label.image_labels import PROMPT
from registry import CAPTIONERS, SEGMENTERS, TEXT_EMBEDDERS, TOWERS, Registry
from semfid.errors import UserError, did_you_mean
from semfid.io.yaml_file import read_mapping
from semfid.typing_checks import describe_type, fits

STORED = "regions"  # where `stored` looks, beside the table


@dataclass(frozen=True)
class Keys:
    """What one kind of label can be told.

    Attributes:
        defaults: of every key.
        types: of the keys that are no section.
        sections: the keys that name a plugin, and their registries.
        example: for messages.
    """

    defaults: dict[str, Any]
    types: dict[str, Any]
    sections: dict[str, Registry[Any]]
    example: str


_PLUGINS: dict[str, tuple[Registry[Any], str]] = {
    "captioner": (CAPTIONERS, "qwen2_vl"),
    "embedder": (TEXT_EMBEDDERS, "minilm"),
    "tower": (TOWERS, "open_clip"),
}

MAPS = Keys(
    {
        "segmenter": {"name": "oneformer"},
        "captioner": {"name": "vip_llava"},
        "embedder": {"name": "minilm"},
        "prompt": OUTLINED,
        "contour": 3,
        "min_area": 0.005,
        "map_format": "npy",
        "batch_size": None,
        "device": "auto",
        "folder": None,
        "plugins": [],
    },
    {
        "prompt": str,
        "contour": int | Literal["scaled"],
        "min_area": float,
        "map_format": Literal["npy", "png"],
        "batch_size": int | None,
        "device": str,
        "folder": str | None,
        "plugins": list[str],
    },
    {"segmenter": SEGMENTERS, "captioner": CAPTIONERS, "embedder": TEXT_EMBEDDERS},
    "segmenter.name=mask2former or min_area=0.01",
)


def _of_images(sections: Sequence[str]) -> Keys:
    """Keys of a label of whole images that takes these plugins."""
    captioned: dict[str, Any] = {"prompt": PROMPT, "captions": "make"} if "captioner" in sections else {}
    defaults = {name: {"name": _PLUGINS[name][1]} for name in sections} | captioned
    return Keys(
        defaults
        | {
            "pairs": "reference",
            "drop_unlabelled": False,
            "batch_size": None,
            "device": "auto",
            "cache": ".cache",
            "plugins": [],
        },
        {
            "prompt": str,
            "captions": Literal["make", "table"],
            "pairs": Literal["reference", "all"],
            "drop_unlabelled": bool,
            "batch_size": int | None,
            "device": str,
            "cache": str,
            "plugins": list[str],
        },
        {name: _PLUGINS[name][0] for name in sections},
        f"{sections[0]}.name={_PLUGINS[sections[0]][1]} or pairs=all",
    )


IMAGES: dict[str, Keys] = {
    "captions": _of_images(["captioner"]),
    "c2c": _of_images(["captioner", "embedder"]),
    "c2i": _of_images(["captioner", "tower"]),
    "i2i": _of_images(["tower"]),
}


def read_settings(keys: Keys, config: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """Defaults, under the file, under ``key=value``; checked.

    Raises:
        UserError: an unknown key, or a value that cannot be.
    """
    settings = copy.deepcopy(keys.defaults)
    if config is not None:
        for key, value in read_mapping(config, resolve=True).items():
            _set(keys, settings, key, value, config)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key or value == "":
            raise UserError(f"label: '{text}' is not key=value, such as {keys.example}")
        try:
            parsed = OmegaConf.to_container(OmegaConf.create(f"value: {value}"), resolve=False)
        except (yaml.YAMLError, OmegaConfBaseException):  # a prompt with a colon
            parsed = {"value": value}
        _set(keys, settings, key, parsed["value"], "label")  # type: ignore[index,call-overload]
    for key, least in (("contour", 1), ("batch_size", 1)):
        if isinstance(settings.get(key), int) and settings[key] < least:
            raise UserError(f"label: {key}={settings[key]} must be {least} or more")
    if not 0 <= settings.get("min_area", 0) < 1:
        raise UserError(f"label: min_area={settings['min_area']:g} is a share of the image, 0 or more and below 1")
    if not settings.get("prompt", PROMPT).strip():
        raise UserError("label: prompt is empty; leave it out for the default")
    return settings


def plugin(keys: Keys, section: str, settings: Mapping[str, Any], table: Path) -> tuple[str, dict[str, Any]]:
    """Name and checked keywords of a plugin.

    `device` and `batch_size` go to a segmenter and a captioner that take them and set no own.

    Raises:
        RegistryError: an unknown name or keyword.
    """
    own = {str(key): value for key, value in settings[section].items()}
    if "name" not in own:
        raise UserError(f"label: {section} has no name; give {section}.name=, such as {keys.defaults[section]['name']}")
    name = str(own.pop("name"))
    takes = keys.sections[section].get(name).keywords
    for key in ("device", "batch_size") if section != "embedder" else ():  # sentences are small
        if key in takes and key not in own and settings[key] is not None:
            own[key] = settings[key]
    if name == "stored" and "folder" in takes and "folder" not in own:
        own["folder"] = str(table.parent / STORED)
    keys.sections[section].check(name, own)
    return name, own


def _set(keys: Keys, settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    first, dot, rest = key.partition(".")
    if first not in keys.defaults or (dot and (first not in keys.sections or not rest)):
        near = did_you_mean(first, keys.defaults)
        raise UserError(f"{where}: unknown key '{key}'{near} (there are: {', '.join(keys.defaults)})")
    if dot:
        value = {**settings[first], rest: value}
    elif first in keys.sections:
        value = {"name": value} if isinstance(value, str) else value
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: {first} must be a name, or a mapping with a name; it is {value!r}")
        value = dict(value) if "name" in value else {**settings[first], **value}
    elif not fits(value, keys.types[first]):
        raise UserError(f"{where}: {first}={value!r} should be {describe_type(keys.types[first])}")
    settings[first] = value
