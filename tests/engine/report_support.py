"""Runs that were never trained: predictions, configurations and provenance as a sweep leaves them, and small pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from engine.report import Origins, write_report
from engine.report.write import Paths
from engine.results import Finished, Results, compare_variants

SETTINGS = {"bootstraps": 100, "level": 0.95, "alpha": 0.05, "by_origin": True}


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
) -> Finished:
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
    return Finished(label, seed, table.assign(fold=0, split="test", predicted=predicted), leaky, learned, path)


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


def no_maps(run: Finished, config: dict[str, Any]) -> str:
    return ""


def report(
    folder: Path, runs: list[Finished], paths: Paths | None = None, drawer: Any = no_maps, **settings: Any
) -> tuple[Path, list[Results]]:
    """The report of some runs, and the tables that it shows."""
    evaluation = {**SETTINGS, **settings}
    results = compare_variants(runs, evaluation)
    written = write_report(folder, "test sweep", results, evaluation, Origins(lambda result: paths or {}, drawer))
    return written, results


def data_of(page: Path) -> dict[str, Any]:
    """The JSON inside a page."""
    text = page.read_text(encoding="utf-8")
    start = text.index('id="report-data">') + len('id="report-data">')
    return dict(json.loads(text[start : text.index("</script>", start)]))


def many_variants(
    folder: Path, variants: int = 50, seeds: int = 3, pairs: int = 2000, distinct: int | None = None
) -> tuple[list[Finished], pd.DataFrame]:
    """Runs of a large sweep.

    Args:
        distinct: variants whose predictions are their own; the others repeat theirs, which saves the time of figures.
    """
    table = labels(sources=pairs // 5, each=5)
    runs: list[Finished] = []
    kept: dict[tuple[int, int], pd.DataFrame] = {}
    for number in range(variants):
        name = (
            f"backbone={('resnet50_imagenet', 'resnet50_clip', 'vit_b16')[number % 3]} head=lpips_linear/depth:{number}"
        )
        for seed in range(seeds):
            config = {"head": {"name": "x", "depth": number}}
            run = finished(folder, name, table, seed, 0.05 + 0.01 * number, config=config)
            predictions = kept.setdefault((number % (distinct or variants), seed), run.predictions)
            runs.append(Finished(**{**vars(run), "predictions": predictions}))
    runs.append(finished(folder, "psnr", table, noise=0.5, learned=False))
    return runs, table
