"""The variants that a sweep spells out, what they are called, and the runs that make up each."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import JsonValue

from engine.config.reading import FREE, get_key
from engine.config.schema import Experiment, RunConfig
from semfid.errors import UserError, did_you_mean
from semfid.settings import as_mapping, validate

Choices: TypeAlias = Mapping[str, JsonValue]
"""What a sweep sets, by dotted key."""


@dataclass(frozen=True)
class Variant:
    """One run of a sweep.

    Attributes:
        config: the resolved experiment, without `sweep`.
        choices: what the sweep set, in its order.
        words: what the label says of each choice.
        repeat: which of the repeats that ``data.split.repeats`` asks for, from 0.
    """

    config: RunConfig
    choices: Choices
    words: tuple[str, ...] = ()
    repeat: int = 0

    @property
    def label(self) -> str:
        """What the table calls it: the choices without the seed."""
        return " ".join(self.words) or self.config.name

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def title(self) -> str:
        """Label and seed; of a training-free metric, which has no seed, the label."""
        return f"{self.label} seed={self.seed}" if self.config.learns else self.label


def expand(experiment: Experiment, where: str) -> list[Variant]:
    """All variants of an experiment, in the order of its sweep; one where it has none.

    ``data.split.repeats: R`` makes R runs of each: repeat r has the split's seed plus r and the run's seed plus r.

    Raises:
        UserError: a sweep key that leads nowhere, an empty list, repeated values.
    """
    sweep = experiment.sweep
    for key, values in sweep.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{where}: sweep.{key} must be a list of values, such as [1, 2]; it is {values!r}")
        if len({json.dumps(value, sort_keys=True) for value in values}) != len(values):
            raise UserError(f"{where}: sweep.{key} names a value twice")
    base = as_mapping(experiment, ("sweep", "sweep_mode"))
    combinations: list[Choices]
    if experiment.sweep_mode == "grid":
        combinations = [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]
    else:
        combinations = _one_factor(base, sweep, where)
    variants = []
    for choices in combinations:
        resolved = copy.deepcopy(base)
        for key, value in choices.items():
            _choose(resolved, key, value, where)
        runs = _repeats(_typed(resolved, where))
        if len(runs) > 1 and "seed" in sweep:
            raise UserError(
                f"{where}: sweep.seed and data.split.repeats both make runs to be averaged; remove one of them"
            )
        variants += [Variant(run, choices, repeat=number) for number, run in enumerate(runs)]
    return _told_apart(variants)


def _choose(config: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set a dotted key; the sections on the way must exist, and a key outside the free sections must be known."""
    *path, last = key.split(".")
    node = config
    for part in path:
        if not isinstance(node.get(part), dict):
            raise UserError(f"{where}: sweep.{key}: there is no section '{part}'{did_you_mean(part, node)}")
        node = node[part]
    if last not in node and key.split(".")[0] not in FREE:
        raise UserError(f"{where}: sweep.{key}: no such key{did_you_mean(last, node)}")
    node[last] = copy.deepcopy(value)


def _repeats(config: RunConfig) -> list[RunConfig]:
    """The runs that ``data.split.repeats`` asks for; what is wrong with the split, its own check says."""
    split = config.data.keywords.get("split")
    numbers = [split.get("repeats", 1), split.get("seed", 0)] if isinstance(split, dict) else [1, 0]
    if not all(type(number) is int for number in numbers):
        return [config]
    runs = [config]
    for repeat in range(1, numbers[0]):
        data = config.data.changed({"split": {**(split or {}), "seed": numbers[1] + repeat}})
        runs.append(config.model_copy(update={"data": data, "seed": config.seed + repeat}))
    return runs


def _typed(resolved: Mapping[str, Any], where: str) -> RunConfig:
    """A variant held against the schema: a sweep sets values that the file's own check has not seen."""
    try:
        return validate(RunConfig, resolved, "sweep")
    except UserError as error:
        raise UserError(f"{where}: sweep.{str(error).removeprefix('sweep: ')}") from error


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


def _one_factor(base: Mapping[str, Any], sweep: Mapping[str, Any], where: str) -> list[Choices]:
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
