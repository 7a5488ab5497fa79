"""A fine-tuning step under the framework against a plain PyTorch loop of the same step.

    python benchmarks/step_time.py [--tuning lora full] [--steps 12] [--size 128] [--batch 8]

Both sides take the same decoded batches from memory: forward of both images in one pass, head, loss, backward, Adam. The
two run in turn, several rounds; the ratio is of the medians of the rounds.
"""

import argparse
import statistics
import time
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from backbones import build_backbone
from datamodules.batches import PairBatch
from engine.training.lightning_trainer import quiet_lightning
from lightning_modules.global_regressor import GlobalRegressor


def make(tuning: str, compiled: bool = False) -> GlobalRegressor:
    torch.manual_seed(0)
    backbone = build_backbone("resnet50_imagenet", {"pretrained": "none", "tuning": tuning})
    module = GlobalRegressor(backbone, head={"name": "lpips_linear"}, optimizer={"name": "adam", "lr": 1e-4})
    if compiled:
        module.compile_step()
    return module


def batches(count: int, batch: int, size: int) -> list[PairBatch]:
    torch.manual_seed(1)
    names = tuple(str(i) for i in range(batch))
    return [
        PairBatch(
            torch.rand(batch, 3, size, size), torch.rand(batch, 3, size, size), torch.rand(batch), None, torch.ones(batch),
            names, names, torch.arange(batch), batch, torch.arange(batch),
        )
        for _ in range(count)
    ]  # fmt: skip


def plain(module: GlobalRegressor, data: list[PairBatch], device: str, precision: str = "32-true") -> float:
    module.to(device).train()
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=1e-4)
    times = []
    for batch in data:
        start = time.perf_counter()
        reference, candidate = batch.reference.to(device), batch.candidate.to(device)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
            features = module.backbone.features(torch.cat([reference, candidate]))
            pooled = [(f[: len(reference)] - f[len(reference) :]).square().mean(dim=(2, 3)) for f in features]
        predicted = module.head(torch.cat(pooled, dim=1).float())
        loss = (predicted - batch.difference.to(device)).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


class Clock(L.Callback):
    def __init__(self) -> None:
        self.times: list[float] = []
        self.last = 0.0

    def on_train_batch_end(self, *_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.times.append(now - self.last)
        self.last = now


def framework(module: GlobalRegressor, data: list[PairBatch], device: str, precision: Any = "32-true") -> float:
    clock = Clock()
    trainer = L.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="gpu" if device == "cuda" else "cpu", devices=1, callbacks=[clock],
        precision=precision,
    )  # fmt: skip
    trainer.fit(module, DataLoader(data, batch_size=None))
    return statistics.median(clock.times[2:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tuning", nargs="+", default=["lora", "full"])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    quiet_lightning()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = batches(arguments.steps, arguments.batch, arguments.size)
    for tuning in arguments.tuning:
        a, b = [], []
        for _ in range(arguments.rounds):
            a.append(framework(make(tuning), data, device))
            b.append(plain(make(tuning), data, device))
        x, y = statistics.median(a), statistics.median(b)
        print(f"{tuning}: framework {x * 1e3:.0f} ms a step, plain loop {y * 1e3:.0f} ms, ratio {x / y:.3f}")


if __name__ == "__main__":
    main()
