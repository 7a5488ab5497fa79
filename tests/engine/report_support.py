"""Runs that were never trained: predictions, configurations and provenance as a sweep leaves them, and small pictures."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from engine.config.schema import RunConfig
from engine.config.sections import Evaluation
from engine.report import Origins, write_report
from engine.report.gallery import MapSource
from engine.report.pictures import thumbnail
from engine.report.write import Paths
from engine.results.pairs import Results, RunResult, compare_variants

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
NASTY = "<script>alert(1)</script> \"'&amp; ${1} {{ 1 }} </title>"
SETTINGS = Evaluation(bootstraps=100)


def labels(sources: int = 12, each: int = 4, votes: bool = True, prefix: str = "pair") -> pd.DataFrame:
    """A test part with three origins."""
    rng = np.random.default_rng(0)
    n = sources * each
    yes = rng.integers(0, 31, n)
    frame = pd.DataFrame(
        {
            "pair_id": [f"{prefix}_{i:05d}" for i in range(n)],
            "source_id": [f"s{i // each}" for i in range(n)],
            "origin": [("swin", "bsrgan", "a diffusion model")[i % 3] for i in range(n)],
            "difference": yes / 30,
            "yes_votes": yes,
            "votes": 30,
        }
    )
    return frame if votes else frame.drop(columns=["yes_votes", "votes"])


def finished(
    folder: Path,
    label: str,
    table: pd.DataFrame,
    seed: int = 0,
    noise: float | None = 0.1,
    learned: bool = True,
    leaky: bool = False,
    config: dict[str, Any] | None = None,
) -> RunResult:
    """One run: the labels with noise, or a constant where `noise` is None."""
    path = folder / f"run-{len(list(folder.glob('run-*')))}"
    path.mkdir(parents=True)
    rng = np.random.default_rng([seed, len(label), sum(label.encode())])
    predicted = 0.5 if noise is None else (table["difference"] + rng.normal(0, noise, len(table))).clip(0, 1)
    model = {"name": "global_regressor", "backbone": {"name": "timm"}, "head": {"name": "lpips_linear", "depth": 3}}
    own = {"seed": seed, "data": {"name": "pairs"}, "model": {**model, **(config or {})}, "trainer": {"max_epochs": 3}}
    (path / "config.yaml").write_text(
        yaml.safe_dump(own if learned else {**own, "model": {"name": label}}, sort_keys=False)
    )
    facts = {"commit": "abc", "versions": {"torch": "2"}, "seed": seed, "table_hash": "t", "wall_s": 1.0 + seed}
    (path / "provenance.json").write_text(json.dumps(facts))
    return RunResult(label, seed, table.assign(fold=0, split="test", predicted=predicted), leaky, learned, path)


def images(
    folder: Path, table: pd.DataFrame, size: tuple[int, int] = (40, 30), most: int = 1000
) -> dict[str, tuple[Path, Path]]:
    """A photo per source, a candidate per pair: plain noise, which no codec shrinks. Pairs beyond `most` share files."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, tuple[Path, Path]] = {}
    for number, (pair, source) in enumerate(zip(table["pair_id"], table["source_id"], strict=True)):
        paths = folder / f"{source}.png", folder / f"c{number % most}.png"
        for path in paths:
            if not path.exists():
                rng = np.random.default_rng(sum(path.name.encode()))
                Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(
                    path, compress_level=1
                )
        found[pair] = paths
    return found


def no_maps(run: RunResult, config: RunConfig) -> str:
    return ""


def report(
    folder: Path,
    runs: list[RunResult],
    paths: Paths | None = None,
    drawer: Any = no_maps,
    maps: MapSource | None = None,
    **settings: Any,
) -> tuple[Path, list[Results]]:
    """The report of some runs, and the tables that it shows."""
    evaluation = SETTINGS.model_copy(update=settings)
    results = compare_variants(runs, evaluation)
    source = None if maps is None else lambda result: maps
    origins = Origins(lambda result: paths or {}, drawer, source)
    return write_report(folder, "test sweep", results, evaluation, origins), results


def with_maps(folder: Path, label: str, table: pd.DataFrame, shift: float, seed: int = 0, **more: Any) -> RunResult:
    """A run with figures of maps that were never made: average precisions about `shift`, every third pair unchanged."""
    run = finished(folder, label, table, seed, **more)
    rng = np.random.default_rng([seed, 1])
    changed = np.arange(len(table)) % 3 > 0
    figures = {}
    for name in ("srcc", "average_precision", "hit"):
        figures[name] = np.where(changed, np.clip(shift + rng.normal(0, 0.05, len(table)), 0, 1), np.nan)
    frame = table[["pair_id", "source_id", "origin"]].assign(
        mse=0.1, **figures, iou=shift, changed=changed * 0.2, predicted=rng.random(len(table))
    )
    frame.sample(frac=1, random_state=1).to_csv(run.path / "maps.csv", index=False)
    section = {
        "average_precision": shift,
        "average_precision_pixels": shift / 2,
        "iou": shift,
        "hit": None,
        "srcc": 0.1,
    }
    section |= {"mse": 0.1, "n": 16, "n_changed": 11}
    content = {"pooled": section, "origin": dict.fromkeys(sorted(set(table["origin"])), section)}
    (run.path / "metrics.json").write_text(json.dumps({"maps": content}))
    return run


def data_of(page: Path) -> dict[str, Any]:
    """The JSON inside a page."""
    text = page.read_text(encoding="utf-8")
    start = text.index('id="report-data">') + len('id="report-data">')
    return dict(json.loads(text[start : text.index("</script>", start)]))


def many_variants(
    folder: Path, variants: int = 50, seeds: int = 3, pairs: int = 2000, distinct: int | None = None
) -> tuple[list[RunResult], pd.DataFrame]:
    """Runs of a large sweep.

    Args:
        distinct: variants whose predictions are their own; the others repeat theirs, which saves the time of figures.
    """
    table = labels(sources=pairs // 5, each=5)
    runs: list[RunResult] = []
    kept: dict[tuple[int, int], pd.DataFrame] = {}
    for number in range(variants):
        name = (
            f"backbone={('resnet50_imagenet', 'resnet50_clip', 'vit_b16')[number % 3]} head=lpips_linear/depth:{number}"
        )
        for seed in range(seeds):
            config = {"head": {"name": "x", "depth": number}}
            run = finished(folder, name, table, seed, 0.05 + 0.01 * number, config=config)
            predictions = kept.setdefault((number % (distinct or variants), seed), run.predictions)
            runs.append(RunResult(**{**vars(run), "predictions": predictions}))
    runs.append(finished(folder, "psnr", table, noise=0.5, learned=False))
    return runs, table


class Resources(HTMLParser):
    """What a browser would fetch, and the text outside scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attributes:
            if key in ("src", "href", "srcset", "action", "data", "poster") and not (value or "").startswith("#"):
                self.fetched.append(f"{tag} {value}")


def draw_candidate(run: RunResult, config: RunConfig) -> Any:
    return lambda fold, reference, candidate: 255 - thumbnail(candidate)


def dom(page: Path, tmp_path: Path, width: int = 1200) -> tuple[str, str]:
    """The page's DOM after its script, and what the browser logged of it."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=2000", f"--window-size={width},900", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=600)
    log = [line for line in done.stderr.splitlines() if "CONSOLE" in line or "Content Security Policy" in line]
    return done.stdout, "\n".join(log)
