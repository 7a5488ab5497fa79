"""The folder of one run: what it is named by, what state it is in, who holds it."""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.config.expansion import Variant
from engine.config.schema import RunConfig
from engine.runs.run_files import ImageMetricsFile, PairMetricsFile, Status
from engine.training.exact_fit import fit_of
from lightning_modules.scorer import DEFAULT_METRIC
from semfid.io.files import write_whole
from semfid.io.locks import lock
from semfid.scoring.weights import SHA256

# where a run takes place and how it is watched, not what comes out
TRAINER_PLACE = (
    "accelerator", "devices", "strategy", "num_nodes", "enable_progress_bar", "enable_model_summary", "log_every_n_steps",
    "profiler", "detect_anomaly", "benchmark", "barebones", "inference_mode",
)  # fmt: skip
DATA_PLACE = ("workers", "in_memory", "folder")
SCORERS = ("semantic", "judge")  # keys of `model` that name a scorer: its content counts beside its path
EXACT_VERSION = 2  # raised when exact fits come out otherwise
METRICS = "metrics.json"
VERSION = 1  # raised when the meaning of a configuration changes


def run_hash(config: RunConfig, data_hash: str) -> str:
    """8 hex digits over everything that determines a run's result."""
    mapping = config.as_mapping()
    content = {key: mapping[key] for key in ("seed", "data", "model", "selection", "trainer")}
    for section, keys in (("trainer", TRAINER_PLACE), ("data", DATA_PLACE)):
        for key in keys:
            content[section].pop(key, None)
    if isinstance(content["data"].get("split"), dict):  # how many others there are is no matter of one repeat
        content["data"]["split"].pop("repeats", None)
    content["table"] = data_hash
    if fit_of(config) == "exact":
        content["fit"] = {"exact": config.penalty, "version": EXACT_VERSION}
    elif config.start == "exact":
        content["start"] = "exact"
    weights = (content["model"].get("backbone") or {}) if isinstance(content["model"], dict) else {}
    weights = weights.get("pretrained") if isinstance(weights, dict) else None
    if isinstance(weights, str) and Path(weights).is_file():  # another file under the same path is another backbone
        status = Path(weights).stat()
        content["weights"] = _file_digest(weights, status.st_mtime_ns, status.st_size)
        if config.pretrained_by:  # the file's content counts, not where this run's pretraining put it
            content["model"]["backbone"]["pretrained"] = "pretraining"
    scorers = {key: _scorer_digest(content["model"].get(key)) for key in SCORERS}
    if any(scorers.values()):
        content["scorers"] = scorers
    if config.identities:  # of the models that a training-free metric asks
        content["identities"] = config.identities
    files = {key: digest for key, digest in _files_named(content["model"]).items() if key not in SCORERS}
    if files:  # such as the weights of a metric's tower
        content["files"] = files
    if config.init_from is not None:  # the weights count, not where they lie
        content["init_from"] = _scorer_digest(config.init_from)
    for plugin in config.plugins:
        if Path(plugin).is_file():  # an edited plugin is another plugin
            status = Path(plugin).stat()
            content[f"plugin {Path(plugin).name}"] = _file_digest(plugin, status.st_mtime_ns, status.st_size)
    content["version"] = VERSION
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _scorer_digest(pattern: Any) -> str:
    """Digest of a scorer's file, of a run's checkpoints, or of the default metric; empty where there is none."""
    if pattern == DEFAULT_METRIC:
        return SHA256
    found = sorted(glob.glob(pattern)) if isinstance(pattern, str) else []
    if len(found) != 1:
        return ""
    path = Path(found[0])
    files = [path] if path.is_file() else sorted(path.glob("part-*.ckpt"))
    statuses = [(file, file.stat()) for file in files]
    return " ".join(_file_digest(str(file), status.st_mtime_ns, status.st_size) for file, status in statuses)


def _files_named(section: Any, key: str = "") -> dict[str, str]:
    """Digests of the files that a section names, by dotted key; a backbone's weights are counted by themselves."""
    if isinstance(section, dict):
        found: dict[str, str] = {}
        for name, value in section.items():
            found |= _files_named(value, f"{key}.{name}" if key else str(name))
        return found
    if not isinstance(section, str) or key == "backbone.pretrained" or not Path(section).is_file():
        return {}
    status = Path(section).stat()
    return {key: _file_digest(section, status.st_mtime_ns, status.st_size)}


@functools.lru_cache(maxsize=64)
def _file_digest(path: str, _modified_ns: int, _size: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class RunFolder:
    """``runs/<experiment>/<variant>-<hash>/``.

    States: ``running`` (or cut off), ``done``, ``failed``; ``new`` where there is nothing.
    """

    path: Path

    @classmethod
    def of(cls, variant: Variant, data_hash: str) -> RunFolder:
        root = variant.config.folder
        digest = run_hash(variant.config, data_hash)
        for found in sorted(root.glob(f"*-{digest}")):  # made by a sweep that called it by other words
            return cls(found)
        words = variant.title if variant.choices else f"seed={variant.seed}"
        return cls(root / f"{re.sub(r'[^A-Za-z0-9._=-]+', '_', words)[:120]}-{digest}")

    @property
    def state(self) -> str:
        return self.status().get("state", "new")

    def status(self) -> Status:
        try:
            found: Status = json.loads((self.path / "status.json").read_text())
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            return {}
        return found

    def set_state(self, state: str, error: str = "") -> None:
        self.write_json("status.json", {"state": state, **({"error": error} if error else {})})

    def write_json(self, name: str, content: Mapping[str, object]) -> None:
        """A JSON file, whole or not at all; NaN becomes null."""
        write_whole(self.path / name, (json.dumps(_without_nan(content), indent=2) + "\n").encode())

    def write_yaml(self, name: str, content: dict[str, object]) -> None:
        write_whole(self.path / name, yaml.safe_dump(content, sort_keys=False).encode())

    def pair_metrics(self) -> PairMetricsFile:
        """``metrics.json`` of a run of pairs that is done."""
        found: PairMetricsFile = json.loads((self.path / METRICS).read_text())
        return found

    def image_metrics(self) -> ImageMetricsFile:
        """``metrics.json`` of a run of single images that is done."""
        found: ImageMetricsFile = json.loads((self.path / METRICS).read_text())
        return found

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out of this run; the hold ends with the process, however it ends.

        Raises:
            UserError: another process works on this run.
        """
        busy = f"another process is working on {self.path}; wait for it, or stop it"
        with lock(self.path / ".lock", "set output=", busy):
            yield


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value
