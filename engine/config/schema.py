"""The experiment file: a typed schema, inheritance, overrides, and the sweep that it spells out.

Unknown keys and wrong types are errors that name the file and the key. The sections `data`, `model` and `trainer` are
checked against the signatures of what they configure (`engine.config.check`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from semfid.errors import UserError, did_you_mean
from semfid.io.yaml_file import read_mapping

OVERRIDE_ONLY_HINT = "write key=value, such as seed=1 or model.optimizer.lr=1e-3"


@dataclass
class SelectionConfig:
    """Which epoch of a training is kept. Looks at the validation part only.

    Attributes:
        monitor: ``val_mse``, ``val_srcc``, or ``last`` (no selection).
        patience: stop after so many epochs without improvement; null: never.
    """

    monitor: str = "val_mse"
    patience: int | None = None


@dataclass
class EvaluationConfig:
    """How figures are reported.

    Attributes:
        bootstraps: resamples of the sources.
        level: of the intervals.
        alpha: of the paired comparisons, after Holm's correction.
        by_origin: also give figures per origin.
        maps: figures of difference maps against the table's maps. true: of every variant and baseline that gives maps; null: of
            variants that learn from maps, and of the baselines beside them.
    """

    bootstraps: int = 1000
    level: float = 0.95
    alpha: float = 0.05
    by_origin: bool = True
    maps: bool | None = None


@dataclass
class CacheConfig:
    """Statistics of frozen trunks on disk.

    Attributes:
        enabled: off: every variant computes its own.
        folder: relative to the working directory.
        max_gb: the least recently used statistics are removed beyond this size.
    """

    enabled: bool = True
    folder: str = ".cache/statistics"
    max_gb: float = 20.0


@dataclass
class Experiment:
    """One experiment file.

    Attributes:
        name: folder of the runs.
        seed: of initial weights, order and dropout.
        data: ``{name: <datamodule>, keywords}``.
        model: ``{name: <lightning module>, backbone: {...}, keywords}``; left out where only baselines are compared.
        fit: ``exact`` solves for the weights of a linear head on a frozen backbone; ``gradient`` trains. Left out: exact where
            head, loss and trainer allow it.
        penalty: of an exact fit on squared weights, see `engine.training.exact`; null: chosen by leaving training photos out.
        start: of a training by gradient. ``exact``: a linear head starts from the exact fit on the features as they are before
            the training, of at most 4,096 training pairs; ``random``, the default, from its initial weights.
        init_from: a finished run, or a pattern that fits one, whose weights a training starts from.
        pretraining: name -> ``{data, model, trainer, selection, seed}``: a trunk that `model.backbone.pretrained` may
            name; it is trained first, on single images.
        compile: torch.compile the trunk.
        baselines: training-free metrics to stand beside the learned variants: names or ``{name: ..., keywords}``.
        trainer: goes to `lightning.Trainer` as it stands.
        sweep: key -> list of values; every combination is a variant. Seeds are averaged.
        sweep_mode: ``grid``, or ``one_factor`` (each key varied alone around the file's own values).
        plugins: modules or files to import.
        output: folder of all runs.
    """

    name: str = MISSING
    seed: int = 0
    data: dict[str, Any] = MISSING
    model: dict[str, Any] = field(default_factory=dict)
    fit: str | None = None
    penalty: float | None = None
    start: str | None = None
    init_from: str | None = None
    pretraining: dict[str, Any] = field(default_factory=dict)
    compile: bool = False
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    baselines: list[Any] = field(default_factory=list)
    trainer: dict[str, Any] = field(default_factory=dict)
    sweep: dict[str, Any] = field(default_factory=dict)
    sweep_mode: str = "grid"
    plugins: list[str] = field(default_factory=list)
    output: str = "runs"


@dataclass(frozen=True)
class Variant:
    """One run of a sweep.

    Attributes:
        config: the resolved experiment, without `sweep`.
        choices: what the sweep set, in its order.
        words: what the label says of each choice.
        repeat: which of the repeats that ``data.split.repeats`` asks for, from 0.
    """

    config: dict[str, Any]
    choices: dict[str, Any]
    words: tuple[str, ...] = ()
    repeat: int = 0

    @property
    def label(self) -> str:
        """What the table calls it: the choices without the seed."""
        return " ".join(self.words) or str(self.config["name"])

    @property
    def seed(self) -> int:
        return int(self.config["seed"])


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML with everything it extends, apply ``key=value`` overrides, check the schema, resolve.

    Raises:
        UserError: one line with file, key and fix.
    """
    path = Path(path)
    merged: dict[str, Any] = {}
    for layer, origin in _read_layers(path, ()):
        _check_keys(layer, origin)
        merged = _merge(merged, layer)
    try:
        schema = OmegaConf.structured(Experiment)
        config = OmegaConf.merge(schema, merged)
        for override in overrides:
            key, value = _parse_override(override)
            OmegaConf.update(
                config, key, value, merge=not isinstance(value, (dict, list)), force_add=_inside_free_section(key)
            )
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise UserError(f"{path}: {missing[0]} is missing; the experiment needs name and data")
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        where = getattr(error, "full_key", None)
        reason = str(getattr(error, "msg", None) or error).splitlines()[0]
        raise UserError(f"{path}: {where + ': ' if where else ''}{reason}") from error
    if not isinstance(resolved, dict):
        raise UserError(f"{path}: the file must hold a mapping")
    return {str(name): value for name, value in resolved.items()}


def get_key(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, or None."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def set_key(config: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set a dotted key; the sections on the way must exist, and a key outside the free sections must be known."""
    *path, last = key.split(".")
    node = config
    for part in path:
        if not isinstance(node.get(part), dict):
            raise UserError(f"{where}: sweep.{key}: there is no section '{part}'{did_you_mean(part, node)}")
        node = node[part]
    if last not in node and not _inside_free_section(key):
        raise UserError(f"{where}: sweep.{key}: no such key{did_you_mean(last, node)}")
    node[last] = copy.deepcopy(value)


def _read_layers(path: Path, seen: tuple[Path, ...]) -> list[tuple[dict[str, Any], Path]]:
    """The file's mapping after those it extends, each with the file that it came from."""
    if path.resolve() in seen:
        raise UserError(f"{path}: extends itself, through {' -> '.join(p.name for p in seen)}")
    mapping = read_mapping(path, "experiment file")
    parents = mapping.pop("extends", [])
    layers: list[tuple[dict[str, Any], Path]] = []
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise UserError(f"{path}: extends is {parents!r}; give the path of a YAML, or a list of paths")
    for parent in parents:
        layers += _read_layers(path.parent / parent, (*seen, path.resolve()))
    if isinstance(mapping.get("plugins"), list):
        mapping["plugins"] = [
            str((path.parent / p).resolve()) if str(p).endswith(".py") else p for p in mapping["plugins"]
        ]
    return [*layers, (mapping, path)]


def _check_keys(layer: dict[str, Any], where: Path) -> None:
    known = list(Experiment.__dataclass_fields__)
    for key in layer:
        if key not in known:
            raise UserError(f"{where}: unknown key '{key}'{did_you_mean(key, known)} (there are: {', '.join(known)})")


def _merge(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """Child over parent. A mapping that names another plugin replaces the parent's: its keywords are not the child's.

    A `sweep` replaces the parent's too: an experiment should say itself what it varies.
    """
    merged = dict(parent)
    for key, value in child.items():
        before = merged.get(key)
        if (
            isinstance(before, dict)
            and isinstance(value, dict)
            and key != "sweep"
            and before.get("name") in (None, value.get("name", before.get("name")))
        ):
            merged[key] = _merge(before, value)
        else:
            merged[key] = value
    return merged


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key or value == "":
        raise UserError(f"override '{text}' is not key=value; {OVERRIDE_ONLY_HINT}")
    known = list(Experiment.__dataclass_fields__)
    if key.split(".")[0] not in known:
        raise UserError(f"override '{text}': unknown key '{key}'{did_you_mean(key.split('.')[0], known)}")
    try:
        parsed = OmegaConf.to_container(OmegaConf.create(f"value: {value}"), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"override '{text}': the value is not YAML: {str(error).splitlines()[0]}") from error
    return _sweep_key(key), parsed["value"]  # type: ignore[index,call-overload]


def _sweep_key(key: str) -> str:
    """``sweep.model.head.depth`` names one key of the mapping `sweep`, dots and all."""
    return f"sweep[{key[len('sweep.') :]}]" if key.startswith("sweep.") else key


def _inside_free_section(key: str) -> bool:
    return key.split(".")[0] in ("data", "model", "trainer", "pretraining") or key.startswith("sweep")
