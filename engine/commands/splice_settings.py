"""Settings of `semfid splice`: ``key=value`` in, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from models.concepts import ConceptSettings, Solver, Sparsity, Strategy
from models.concepts.modality_gap import FIX
from registry import TOWERS, load_plugins, named
from semfid.errors import UserError, did_you_mean
from semfid.typing_checks import describe_type, fits

TYPES: dict[str, Any] = {
    "vocabulary": str,
    "size": int | None,
    "encoding": str | None,
    "image_mean": str,
    "strategy": Strategy,
    "l1": float | None,
    "concepts": int | None,
    "solver": Solver,
    "top": int,
    "plugins": list[str],
}
KEYS = ("tower", *TYPES)
DEFAULT_TOWER = "open_clip"
OF_SCENES = {"vocabulary": "scenes", "image_mean": "scenes"}  # what fits scenes_tower, unless said otherwise


@dataclass(frozen=True)
class SpliceSettings:
    """What the command was asked for.

    Attributes:
        tower: name and keywords.
        top: bars of each kind in the chart.
    """

    tower: tuple[str, dict[str, Any]]
    concepts: ConceptSettings
    strategy: Strategy
    top: int


def read_settings(overrides: Sequence[str]) -> SpliceSettings:
    """Defaults under ``key=value``.

    Raises:
        UserError: an unknown key, a value that cannot be, no image mean.
    """
    values: dict[str, Any] = {}
    for text in overrides:
        key, equals, written = text.partition("=")
        if not equals or not key or written == "":
            raise UserError(f"splice: '{text}' is not key=value, such as tower=scenes_tower or l1=0.2")
        _set(values, key, _parsed(written))
    load_plugins(values.get("plugins", []), Path.cwd())
    tower = values.get("tower", DEFAULT_TOWER)
    TOWERS.check_named(tower, "splice: tower")
    name, keywords = named(tower, "splice: tower")
    given = {"vocabulary": "english", **(OF_SCENES if name == "scenes_tower" else {}), **values}
    if "image_mean" not in given:
        raise UserError(f"splice: no image_mean: embeddings must be centred before they are decomposed; {FIX}")
    if given.get("top", 1) < 1:
        raise UserError(f"splice: top={given['top']} must be 1 or more")
    strategy = given.get("strategy", "nonsymmetric")
    sparsity = Sparsity(given.get("l1"), given.get("concepts"), given.get("solver", "lasso"))
    concepts = ConceptSettings(
        given["vocabulary"],
        given["image_mean"],
        sparsity,
        given.get("size"),
        strategy == "nouns",
        given.get("encoding"),
    )
    return SpliceSettings((name, keywords), concepts, strategy, given.get("top", 12))


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    first, dot, rest = key.partition(".")
    if first not in KEYS or (dot and first != "tower"):
        raise UserError(f"splice: unknown key '{key}'{did_you_mean(first, KEYS)} (there are: {', '.join(KEYS)})")
    if first == "tower":
        old = values.get("tower", {"name": DEFAULT_TOWER})
        old = {"name": old} if isinstance(old, str) else old
        values["tower"] = {**old, rest: value} if dot else value
    elif not fits(value, TYPES[first]):
        raise UserError(f"splice: {first}={value!r} should be {describe_type(TYPES[first])}")
    else:
        values[first] = value


def _parsed(written: str) -> Any:
    try:
        content: Any = OmegaConf.to_container(OmegaConf.create(f"value: {written}"), resolve=False)
        return "none" if content["value"] == "none" else content["value"]
    except (yaml.YAMLError, OmegaConfBaseException):  # a path with a colon
        return written
