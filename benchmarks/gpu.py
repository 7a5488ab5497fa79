"""All figures of a GPU in one run of at most eight minutes, as rows for RESULTS.md.

    python benchmarks/gpu.py [scoring] [step] [clu] [pretraining]                  (default: all)
    python benchmarks/gpu.py --device cpu --tiny                 (tries the script itself; its figures say nothing)

scoring      from files against the bare backbone on images that lie on the device, in float32, TF32, bf16 and fp16; largest
             change of a score (targets: at least 0.60, under 1e-3)
step         full, LoRA and frozen, float32 and bf16, against a plain loop of the same step (at least 0.95), and compiled
clu          a step of CLU against a plain loop (at most 1.05)
pretraining  images/s of a supervised pretraining on files, by the datamodule's workers (at least 5,000)

A part that would begin after the time is left out, and said so. Weights are random; ratios are of medians of the same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import clu_step
import lightning as L
import numpy as np
import scoring
import step_time
import torch
from PIL import Image

from backbones import build_backbone
from datamodules.batches import PairBatch
from engine.training.lightning_trainer import quiet_lightning
from lightning_modules.supervised import Supervised
from registry import DATAMODULES

SECONDS = 480


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        groups: references, each with five candidates.
        batch, side, steps, rounds: of a training step; steps a round.
        width: of CLU's decoder.
        images: files of the pretraining.
        workers: processes that decode them.
    """

    groups: int = 200
    batch: int = 64
    side: int = 224
    steps: int = 12
    rounds: int = 3
    width: int = 256
    images: int = 8192
    workers: int = max(0, (os.cpu_count() or 1) - 1)


TINY = Sizes(groups=2, batch=2, side=64, steps=4, rounds=1, width=16, images=16, workers=0)
Rows = Iterator[tuple[str, str, str]]


def scoring_rows(device: str, sizes: Sizes) -> Rows:
    for precision, found in scoring.by_precision(device, sizes.groups, sizes.side, sizes.rounds).items():
        yield (
            f"scoring from files, ResNet-50, {sizes.side} px, {precision}, against the bare backbone",
            ">= 0.60, change < 1e-3",
            f"**{found.rate / found.bare:.2f}** ({found.rate:.0f} / {found.bare:.0f} images/s), change {found.change:.1e}",
        )


def _framework(tuning: str, precision: str, device: str, data: list[PairBatch], compiled: bool = False) -> float:
    return step_time.framework(step_time.make(tuning, compiled), data, device, precision)


def _plain(tuning: str, precision: str, device: str, data: list[PairBatch]) -> float:
    return step_time.plain(step_time.make(tuning), data, device, precision)


def step_rows(device: str, sizes: Sizes) -> Rows:
    data = step_time.batches(sizes.steps, sizes.batch, sizes.side)
    for tuning in ("full", "lora", "frozen"):
        for precision in ("32-true", "bf16-mixed"):
            ours = partial(_framework, tuning, precision, device, data)
            sides = {"ours": ours, "plain": partial(_plain, tuning, precision, device, data)}
            if device == "cuda" and (tuning, precision) != ("lora", "32-true"):  # a minute each
                sides["compiled"] = partial(ours, compiled=True)
            found: dict[str, list[float]] = {name: [] for name in sides}
            for _ in range(sizes.rounds):
                for name in sides if not found["ours"] else ("ours", "plain"):  # compiled once
                    found[name].append(sides[name]())
            times = {name: statistics.median(values) for name, values in found.items()}
            compiled = f"; compiled {times['ours'] / times['compiled']:.2f} times faster" if "compiled" in times else ""
            yield (
                f"training step, {tuning}, {precision}, batch {sizes.batch}, {sizes.side} px: plain loop / framework",
                ">= 0.95",
                f"**{times['plain'] / times['ours']:.2f}** ({times['plain'] * 1e3:.1f} / {times['ours'] * 1e3:.1f} ms){compiled}",
            )


def clu_rows(device: str, sizes: Sizes) -> Rows:
    batch = max(2, sizes.batch // 4)
    data = clu_step.batches(sizes.steps, batch, sizes.side, batch)
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(sizes.rounds):
        times["ours"].append(clu_step.framework(clu_step.make(sizes.width), data, device))
        times["plain"].append(clu_step.plain(clu_step.make(sizes.width), data, device))
    ours, plain = (min(times[name]) for name in ("ours", "plain"))
    yield (
        f"step of CLU, UNet of width {sizes.width}, batch {batch}, {sizes.side} px: framework / plain loop",
        "<= 1.05",
        f"**{ours / plain:.3f}** ({ours * 1e3:.1f} / {plain * 1e3:.1f} ms)",
    )


def pretraining_rows(device: str, sizes: Sizes) -> Rows:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(sizes.images):
            path = Path(folder) / f"class{number % 4}" / f"{number:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC).save(path, quality=90)
        keywords = {"path": folder, "image_size": 64, "batch_size": sizes.batch * 2, "workers": sizes.workers}
        data = DATAMODULES.build("image_folder", **keywords)
        backbone = build_backbone("timm", {"model": "resnet10t", "pretrained": "none", "tuning": "full"})
        module = Supervised(backbone)
        module.prepare(data.listed)
        data.select(0)
        clock = step_time.Clock()
        trainer = L.Trainer(
            max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False, limit_val_batches=0,
            enable_model_summary=False, accelerator="gpu" if device == "cuda" else "cpu", devices=1, callbacks=[clock],
            use_distributed_sampler=False,
        )  # fmt: skip
        trainer.fit(module, datamodule=data)
    steps = clock.times[len(clock.times) // 2 + 1 :]  # of the second epoch, past its first
    seconds = sum(steps) / len(steps)
    yield (
        f"supervised pretraining on 96-pixel JPEG files at 64 px, batch {2 * sizes.batch}, {sizes.workers} workers",
        ">= 5,000 images/s",
        f"**{2 * sizes.batch / seconds:.0f}** images/s",
    )


PARTS = {"scoring": scoring_rows, "step": step_rows, "clu": clu_rows, "pretraining": pretraining_rows}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU here; --device cpu --tiny tries the script")
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        raise SystemExit(f"no part {', '.join(sorted(unknown))}; choose among {', '.join(PARTS)}")
    quiet_lightning()
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(
        f"{name}, {os.cpu_count()} cores, torch {torch.__version__}\n\n| what | target | measured | command |\n|---|---|---|---|"
    )
    start = time.monotonic()
    for part in arguments.parts or PARTS:
        rows = PARTS[part](arguments.device, TINY if arguments.tiny else Sizes())
        while time.monotonic() - start < SECONDS:
            row = next(rows, None)
            if row is None:
                break
            print(f"| {' | '.join(row)} | `python benchmarks/gpu.py {part}` |", flush=True)
        else:
            print(f"{part}: the time is over; run it by itself")


if __name__ == "__main__":
    main()
