"""`semfid label maps`: settings in, plugins built, work handed to `pseudo_labels`."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from captioners import build_captioner
from pairs import read_pairs
from pseudo_labels import MapSettings, MapTools, build_segmenter, label_maps
from pseudo_labels.maps import PROMPT
from registry import (
    CAPTIONERS,
    SEGMENTERS,
    TEXT_EMBEDDERS,
    Registry,
    UserError,
    describe_type,
    did_you_mean,
    fits,
    load_plugins,
)
from semfid.runtime.progress import Progress
from text_embedders import build_text_embedder

DEFAULTS: dict[str, Any] = {
    "segmenter": {"name": "oneformer"},
    "captioner": {"name": "vip_llava"},
    "embedder": {"name": "minilm"},
    "prompt": PROMPT,
    "contour": 3,
    "min_area": 0.005,
    "map_format": "npy",
    "batch_size": None,
    "device": "auto",
    "folder": None,
    "plugins": [],
}
TYPES: dict[str, Any] = {
    "prompt": str,
    "contour": int | Literal["scaled"],
    "min_area": float,
    "map_format": Literal["npy", "png"],
    "batch_size": int | None,
    "device": str,
    "folder": str | None,
    "plugins": list[str],
}
SECTIONS: dict[str, Registry[Any]] = {"segmenter": SEGMENTERS, "captioner": CAPTIONERS, "embedder": TEXT_EMBEDDERS}
STORED = "regions"  # where `stored` looks, beside the table


def label(table: Path, out: Path, config: str | None, overrides: Sequence[str]) -> int:
    """Make the maps of a table; the exit code: 1 where a pair failed.

    Raises:
        UserError: a bad setting, table or model; names the place and the fix.
    """
    settings = read_settings(config, overrides)
    load_plugins(settings["plugins"], Path.cwd())
    tools = {section: plugin(section, settings, table) for section in SECTIONS}
    if out.suffix not in (".csv", ".parquet"):
        raise UserError(f"--out {out}: give a name that ends in .csv or .parquet")
    if out.resolve() == table.resolve():
        raise UserError(f"--out {out} is the table that is read; choose another name")
    pairs = read_pairs(table)
    folder = Path(settings["folder"]) if settings["folder"] else out.with_name(f"{out.stem}_maps")
    embedder = tools["embedder"]
    failures = label_maps(
        pairs,
        out,
        folder,
        MapTools(
            build_segmenter(*tools["segmenter"]), build_captioner(*tools["captioner"]), build_text_embedder(*embedder)
        ),
        MapSettings(settings["prompt"], settings["contour"], float(settings["min_area"]), settings["map_format"]),
        _stage,
    )
    print(f"{out}: {len(pairs) - len(failures)} of {len(pairs)} maps; work folder {folder}")
    for pair, reason in list(failures.items())[:5]:
        print(f"semfid: FAILED {pair}: {' '.join(reason.split())}", file=sys.stderr)
    if len(failures) > 5:
        print(f"semfid: and {len(failures) - 5} more; see the column map_error", file=sys.stderr)
    return 1 if failures else 0


def read_settings(config: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """Defaults, under the file, under ``key=value``; checked.

    Raises:
        UserError: an unknown key, or a value that cannot be.
    """
    settings = copy.deepcopy(DEFAULTS)
    if config is not None:
        for key, value in _read_file(Path(config)).items():
            _set(settings, str(key), value, config)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key or value == "":
            raise UserError(f"label: '{text}' is not key=value, such as segmenter.name=mask2former or min_area=0.01")
        try:
            parsed = OmegaConf.to_container(OmegaConf.create(f"value: {value}"), resolve=False)
        except (yaml.YAMLError, OmegaConfBaseException):  # a prompt with a colon
            parsed = {"value": value}
        _set(settings, key, parsed["value"], "label")  # type: ignore[index,call-overload]
    for key, least in (("contour", 1), ("batch_size", 1)):
        if isinstance(settings[key], int) and settings[key] < least:
            raise UserError(f"label: {key}={settings[key]} must be {least} or more")
    if not 0 <= settings["min_area"] < 1:
        raise UserError(f"label: min_area={settings['min_area']:g} is a share of the image, 0 or more and below 1")
    if not settings["prompt"].strip():
        raise UserError("label: prompt is empty; leave it out for the default")
    return settings


def plugin(section: str, settings: Mapping[str, Any], table: Path) -> tuple[str, dict[str, Any]]:
    """Name and checked keywords of a plugin.

    `device` and `batch_size` go to a segmenter and a captioner that take them and set no own.

    Raises:
        RegistryError: an unknown name or keyword.
    """
    own = {str(key): value for key, value in settings[section].items()}
    if "name" not in own:
        raise UserError(f"label: {section} has no name; give {section}.name=, such as {DEFAULTS[section]['name']}")
    name = str(own.pop("name"))
    takes = SECTIONS[section].get(name).keywords
    for key in ("device", "batch_size") if section != "embedder" else ():  # sentences are small
        if key in takes and key not in own and settings[key] is not None:
            own[key] = settings[key]
    if name == "stored" and "folder" in takes and "folder" not in own:
        own["folder"] = str(table.parent / STORED)
    SECTIONS[section].check(name, own)
    return name, own


def _set(settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    first, dot, rest = key.partition(".")
    if first not in DEFAULTS or (dot and (first not in SECTIONS or not rest)):
        raise UserError(f"{where}: unknown key '{key}'{did_you_mean(first, DEFAULTS)} (there are: {', '.join(DEFAULTS)})")
    if dot:
        value = {**settings[first], rest: value}
    elif first in SECTIONS:
        value = {"name": value} if isinstance(value, str) else value
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: {first} must be a name, or a mapping with a name; it is {value!r}")
        value = dict(value) if "name" in value else {**settings[first], **value}
    elif not fits(value, TYPES[first]):
        raise UserError(f"{where}: {first}={value!r} should be {describe_type(TYPES[first])}")
    settings[first] = value


def _read_file(path: Path) -> dict[Any, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except FileNotFoundError as error:
        raise UserError(f"no file {path}; give the path of a YAML") from error
    except (yaml.YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: the file must hold a mapping of keys; it holds {type(content).__name__}")
    return content


@contextlib.contextmanager
def _stage(title: str) -> Iterator[Callable[[int, int], None]]:
    """Progress of one stage on standard error; silent where there is nothing to do."""
    bar = Progress(title, 0)

    def advance(done: int, total: int) -> None:
        bar.total = total
        while bar.done < done:
            bar.advance()

    yield advance
    if bar.total:
        bar.close()
