"""A step of CLU (frozen ResNet-50, UNet decoder) under the framework against a plain PyTorch loop of the same step.

    python benchmarks/clu_step.py [--width 256] [--batch 4] [--size 224] [--steps 8] [--rounds 3]

Both sides take the same batches from memory: features of both images without a graph, squared differences, decoder with its
anchor, mean squared error of the map, backward, Adam. The two run in turn, several rounds; the ratio is of the best rounds'
median steps.
A second pair of times says what it saves that a reference that stands several times in a batch passes the backbone once.
"""

from __future__ import annotations

import argparse
import statistics
import time

import lightning as L
import torch
from step_time import Clock
from torch import Tensor
from torch.utils.data import DataLoader

from backbones import build_backbone
from datamodules.batches import PairBatch
from engine.training.lightning_trainer import quiet_lightning
from lightning_modules.local_map import LocalMapRegressor


def make(width: int) -> LocalMapRegressor:
    torch.manual_seed(0)
    backbone = build_backbone("resnet50_imagenet", {"pretrained": "none"})
    head = {"name": "unet", "max_width": width, "scale": "none", "output": "identity"}
    return LocalMapRegressor(backbone, head, optimizer={"name": "adam", "lr": 1e-4})


def batches(count: int, batch: int, size: int, references: int) -> list[PairBatch]:
    """Batches of pairs over so many distinct references."""
    torch.manual_seed(1)
    names = tuple(str(i) for i in range(batch))
    first = torch.arange(batch) % references
    found = []
    for _ in range(count):
        reference = torch.rand(references, 3, size, size)[first]
        target = (torch.rand(batch, 1, size, size) > 0.8).float()
        found.append(
            PairBatch(
                reference, torch.rand(batch, 3, size, size), torch.rand(batch), target, torch.ones(batch), names, names,
                torch.arange(batch), batch, first,
            )
        )  # fmt: skip
    return found


def plain(module: LocalMapRegressor, data: list[PairBatch], device: str) -> float:
    module.to(device).train()
    head = module.head
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-4)
    times = []
    for batch in data:
        start = time.perf_counter()
        reference, candidate, target = (batch[i].to(device) for i in (0, 1, 3))
        with torch.no_grad():
            features = module.backbone.features(torch.cat([reference, candidate]))
            differences = [(f[: len(reference)] - f[len(reference) :]).square() for f in features]
            with_zeros = [torch.cat([d, torch.zeros_like(d[:1])]) for d in differences]
            pixel: Tensor = torch.zeros(len(reference) + 1, 1, *reference.shape[-2:], device=device)
        raw = head.decode(pixel, with_zeros)
        loss = (raw[:-1] - raw[-1:] - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def framework(module: LocalMapRegressor, data: list[PairBatch], device: str) -> float:
    clock = Clock()
    graphs: list[bool] = []
    module.backbone.register_forward_hook(lambda _m, _i, stages: graphs.extend(stage.requires_grad for stage in stages))
    trainer = L.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="gpu" if device == "cuda" else "cpu", devices=1, callbacks=[clock],
    )  # fmt: skip
    trainer.fit(module, DataLoader(data, batch_size=None))  # type: ignore[arg-type]
    if any(graphs):
        raise SystemExit("a gradient graph went through the frozen backbone")
    return statistics.median(clock.times[2:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    quiet_lightning()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    distinct = batches(arguments.steps, arguments.batch, arguments.size, arguments.batch)
    shared = batches(arguments.steps, arguments.batch, arguments.size, 1)
    times: dict[str, list[float]] = {"framework": [], "plain": [], "shared": []}
    for _ in range(arguments.rounds):
        times["framework"].append(framework(make(arguments.width), distinct, device))
        times["plain"].append(plain(make(arguments.width), distinct, device))
        times["shared"].append(framework(make(arguments.width), shared, device))
    # other work on a machine only ever adds time, and to whole rounds
    ours, loop, once = (min(times[key]) for key in ("framework", "plain", "shared"))
    print(f"framework {ours * 1e3:.0f} ms a step, plain loop {loop * 1e3:.0f} ms, ratio {ours / loop:.3f}")
    print("no gradient graph went through the frozen backbone")
    print(f"one reference for all {arguments.batch} candidates: {once * 1e3:.0f} ms a step, ratio {once / ours:.3f}")


if __name__ == "__main__":
    main()
