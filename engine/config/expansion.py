"""The variants that a sweep spells out, what they are called, and the runs that make up each."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine.config.schema import Experiment, Variant, get_key, set_key
from semfid.errors import UserError


def expand(config: dict[str, Any], where: str) -> list[Variant]:
    """All variants of an experiment, in the order of its sweep; one where it has none.

    ``data.split.repeats: R`` makes R runs of each: repeat r has the split's seed plus r and the run's seed plus r.

    Raises:
        UserError: a sweep key that leads nowhere, an empty list, repeated values.
    """
    sweep: dict[str, Any] = config["sweep"]
    for key, values in sweep.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{where}: sweep.{key} must be a list of values, such as [1, 2]; it is {values!r}")
        if len({json.dumps(value, sort_keys=True) for value in values}) != len(values):
            raise UserError(f"{where}: sweep.{key} names a value twice")
    base = {key: value for key, value in config.items() if key not in ("sweep", "sweep_mode")}
    if config["sweep_mode"] not in ("grid", "one_factor"):
        raise UserError(f"{where}: sweep_mode is {config['sweep_mode']!r}; choose grid or one_factor")
    combinations: list[dict[str, Any]]
    if config["sweep_mode"] == "grid":
        combinations = [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]
    else:
        combinations = _one_factor(base, sweep, where)
    variants = []
    for choices in combinations:
        resolved = copy.deepcopy(base)
        for key, value in choices.items():
            set_key(resolved, key, value, where)
        runs = _repeats(_typed(resolved, where))
        if len(runs) > 1 and "seed" in sweep:
            raise UserError(
                f"{where}: sweep.seed and data.split.repeats both make runs to be averaged; remove one of them"
            )
        variants += [Variant(run, choices, repeat=number) for number, run in enumerate(runs)]
    return _told_apart(variants)


def _repeats(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs that ``data.split.repeats`` asks for; what is wrong with the split, its own check says."""
    split = config["data"].get("split")
    numbers = [split.get("repeats", 1), split.get("seed", 0)] if isinstance(split, dict) else [1, 0]
    if not all(type(number) is int for number in numbers):
        return [config]
    runs = []
    for repeat in range(max(1, numbers[0])):
        run = copy.deepcopy(config) if repeat else config
        if repeat:
            run["data"]["split"]["seed"], run["seed"] = numbers[1] + repeat, config["seed"] + repeat
        runs.append(run)
    return runs


def _typed(resolved: dict[str, Any], where: str) -> dict[str, Any]:
    """A variant held against the schema: a sweep sets values that the file's own check has not seen."""
    free = {"pretraining": resolved["pretraining"]} if isinstance(resolved.get("pretraining"), dict) else {}
    rest = {key: value for key, value in resolved.items() if key not in free}  # OmegaConf is slow with deep sections
    try:
        checked = OmegaConf.to_container(OmegaConf.merge(OmegaConf.structured(Experiment), rest), resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{where}: sweep.{error.full_key}: {str(error.msg).splitlines()[0]}") from error
    assert isinstance(checked, dict)
    return {str(key): value for key, value in {**checked, **free}.items() if key not in ("sweep", "sweep_mode")}


def _told_apart(variants: list[Variant]) -> list[Variant]:
    """Give the variants labels, as short as they can be: equal labels would be averaged as seeds of one variant."""
    values: dict[str, list[Any]] = {}
    for variant in variants:
        for key, value in variant.choices.items():
            values.setdefault(key, []).append(value)

    def words(variant: Variant, full: bool) -> tuple[str, ...]:
        choices = [(key, value) for key, value in variant.choices.items() if key != "seed"]
        return tuple(
            f"{_short(key)}={json.dumps(value) if full else short_word(value, values[key])}" for key, value in choices
        )

    meanings: dict[tuple[str, ...], set[str]] = {}
    for variant in variants:
        others = {key: value for key, value in variant.choices.items() if key != "seed"}
        meanings.setdefault(words(variant, full=False), set()).add(json.dumps(others, sort_keys=True))
    return [
        replace(variant, words=words(variant, full=len(meanings[words(variant, full=False)]) > 1))
        for variant in variants
    ]


def _one_factor(base: dict[str, Any], sweep: dict[str, Any], where: str) -> list[dict[str, Any]]:
    seeds = sweep.get("seed", [base["seed"]])
    factors = {key: values for key, values in sweep.items() if key != "seed"}
    start = {key: get_key(base, key) for key in factors}
    rows = [start]
    for key, values in factors.items():
        if start[key] is None:
            raise UserError(f"{where}: sweep_mode one_factor needs a value for {key} outside the sweep to start from")
        rows += [{**start, key: value} for value in values if value != start[key]]
    return [{**row, "seed": seed} for row in rows for seed in seeds]


def _short(key: str) -> str:
    parts = key.split(".")
    return parts[-2] if parts[-1] == "name" and len(parts) > 1 else parts[-1]


def short_word(value: Any, others: Sequence[Any] = ()) -> str:
    """A short word for a value; of a mapping, its name and the keywords that tell it from others of that name."""
    if isinstance(value, dict):
        namesakes = [other for other in others if isinstance(other, dict) and other.get("name") == value.get("name")]
        telling = [key for key in value if key != "name" and any(other.get(key) != value[key] for other in namesakes)]
        words = [f"{key}:{short_word(value[key])}" for key in telling]
        return "/".join(([str(value["name"])] if "name" in value else []) + words) or json.dumps(value)
    if isinstance(value, list) and value and not any(isinstance(item, (list, dict)) for item in value):
        return "+".join(str(item) for item in value)
    return Path(value).stem if isinstance(value, str) and "/" in value else str(value)
