"""The section ``pretraining`` of an experiment: what it may say, and the experiment that each of its entries is."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry import BACKBONES, named
from semfid.errors import UserError, did_you_mean

KEYS = ("data", "model", "trainer", "selection", "seed")
WORDS = ("hub", "none")
# where a pretraining takes place is where its variants do, unless it says otherwise
INHERITED = ("accelerator", "devices", "strategy", "num_nodes", "precision", "sync_batchnorm")


def pretraining_name(config: Mapping[str, Any]) -> str | None:
    """The entry of ``pretraining`` that a variant asks for, or None."""
    backbone = config["model"].get("backbone") if isinstance(config["model"], Mapping) else None
    wanted = backbone.get("pretrained") if isinstance(backbone, Mapping) else None
    return wanted if isinstance(wanted, str) and wanted in (config.get("pretraining") or {}) else None


def check_section(config: Mapping[str, Any]) -> None:
    """Names and keys of the section, and whether the trunk that a variant asks for is one of them.

    Raises:
        UserError: the first mistake, with its key.
    """
    section = config.get("pretraining") or {}
    for name, entry in section.items():
        where = f"pretraining.{name}"
        if name in WORDS or Path(name).exists():
            meaning = "a word of pretrained: already" if name in WORDS else "also a file or folder"
            raise UserError(f"{where}: '{name}' is {meaning}; choose another name")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise UserError(f"{where}: a name is made of letters, digits, '_', '-' and '.'; it becomes a folder")
        if not isinstance(entry, Mapping):
            raise UserError(f"{where} must be a mapping with data, model and trainer, not {entry!r}")
        for key in entry:
            if key not in KEYS:
                raise UserError(
                    f"{where}: unknown key '{key}'{did_you_mean(str(key), KEYS)} (it takes: {', '.join(KEYS)})"
                )
        for key in ("data", "model"):
            if key not in entry:
                raise UserError(f"{where} has no '{key}'; give data, model and trainer")
        _, model = named(entry["model"], f"{where}.model")
        if "backbone" in model:
            raise UserError(f"{where}.model.backbone: the architecture is that of the variant; remove it")
        for key in ("trainer", "selection"):
            if not isinstance(entry.get(key, {}), Mapping):
                raise UserError(f"{where}.{key} must be a mapping, not {entry[key]!r}")
        if not {"max_epochs", "max_steps"} & {*entry.get("trainer", {})}:
            raise UserError(f"{where}.trainer: say how long to train, by max_epochs or max_steps")
        seed = entry.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise UserError(f"{where}.seed is {seed!r}; it must be a whole number")
    _check_wanted(config, section)


def _check_wanted(config: Mapping[str, Any], section: Mapping[str, Any]) -> None:
    backbone = config["model"].get("backbone") if isinstance(config["model"], Mapping) else None
    wanted = backbone.get("pretrained") if isinstance(backbone, Mapping) else None
    if section and isinstance(wanted, str) and wanted not in (*WORDS, *section) and not Path(wanted).is_file():
        raise UserError(
            f"model.backbone.pretrained is '{wanted}', which is no file and not in pretraining"
            f"{did_you_mean(wanted, [*WORDS, *section])} (there are: {', '.join([*WORDS, *section])})"
        )


def pretraining_config(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The experiment of one variant that is its pretraining: same architecture, all of it trained from random weights.

    Raises:
        UserError: a backbone that cannot be trained whole.
    """
    entry = config["pretraining"][name]
    backbone_name, keywords = named(config["model"].get("backbone") or "", "model.backbone")
    known = BACKBONES.get(backbone_name).keywords
    own = {key: value for key, value in keywords.items() if key != "lora_rank"}
    for key, value in (("pretrained", "none"), ("tuning", "full"), ("batch_norm", "train")):
        if key in known:
            own[key] = value
        elif key != "batch_norm":
            raise UserError(
                f"pretraining.{name}: the backbone '{backbone_name}' has no keyword '{key}'; it cannot be pretrained"
            )
    model_name, model = named(entry["model"], f"pretraining.{name}.model")
    data_name, data = named(entry["data"], f"pretraining.{name}.data")
    place = {key: config["trainer"][key] for key in INHERITED if key in config["trainer"]}
    return copy.deepcopy(
        {
            **{key: config[key] for key in ("name", "compile", "evaluation", "cache", "plugins", "output")},
            "seed": entry.get("seed", 0),
            "data": {"name": data_name, **data},
            "model": {"name": model_name, "backbone": {"name": backbone_name, **own}, **model},
            "selection": {"monitor": "last", "patience": None, **entry.get("selection", {})},
            "baselines": [],
            "trainer": {**place, **entry.get("trainer", {})},
            "pretraining": {},
        }
    )
