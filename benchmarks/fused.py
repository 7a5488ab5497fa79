"""Normalisation and pooled squared differences: the plain chain of operations against the form that scoring runs.

    python benchmarks/fused.py [--batch 6] [--size 224] [--rounds 9]

Taps of a ResNet-50, random values, both memory layouts. `score`: unit lengths of the candidates, squared differences from their
references and poolings, without a graph. `step`: the same with its gradient with respect to the candidates' features. Processor
time, both forms in turn, ratio of the medians; then the peak of memory that each adds, in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from scoring import rounds
from torch import Tensor

from semfid.scoring.fused import EPS
from semfid.scoring.statistics import differences_for, pool, pooled_differences, unit_channels

SHAPES = ((64, 2), (256, 4), (512, 8), (1024, 16), (2048, 32))  # channels and strides of the stages
LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}


def taps(batch: int, size: int, layout: torch.memory_format, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, channels, size // stride, size // stride) for channels, stride in SHAPES]
    return [torch.randn(shape, generator=generator).relu_().contiguous(memory_format=layout) for shape in shapes]


def plain(x: Sequence[Tensor], y: Sequence[Tensor], poolings: Sequence[str]) -> Tensor:
    """The chain of operations, a batch at a time; the references are of unit length."""
    scaled = [tap * torch.rsqrt(tap.square().sum(dim=1, keepdim=True) + EPS) for tap in y]
    return pool((differences_for(poolings, [a], [b], "none")[0] for a, b in zip(x, scaled, strict=True)), poolings)


def fused(x: Sequence[Tensor], y: Sequence[Tensor], poolings: Sequence[str]) -> Tensor:
    return pooled_differences(x, [unit_channels(tap) for tap in y], poolings)


FORMS = {"plain": plain, "fused": fused}


def score(form: str, x: list[Tensor], y: list[Tensor], poolings: Sequence[str]) -> Tensor:
    with torch.inference_mode():
        return FORMS[form](x, y, poolings)


def step(form: str, x: list[Tensor], y: list[Tensor], poolings: Sequence[str]) -> Tensor:
    candidates = [tap.detach().requires_grad_() for tap in y]
    return torch.autograd.grad(FORMS[form](x, candidates, poolings).sum(), candidates)[0]


WORK: dict[str, Callable[..., Tensor]] = {"score": score, "step": step}


def processor(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _peak(queue: Any, work: str, form: str, poolings: Sequence[str], batch: int, size: int) -> None:
    x, y = (taps(batch, size, torch.channels_last, seed) for seed in (0, 1))
    x = [unit_channels(tap) for tap in x]
    small = [taps(1, 64, torch.channels_last, 2)] * 2
    WORK[work](form, *small, poolings)  # what a first call loads is not counted
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far, of making the values, is forgotten (Linux)
    before = _highest()
    WORK[work](form, x, y, poolings)
    queue.put((_highest() - before) / 1024)


def _highest() -> int:
    """Peak of resident memory, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def peak(*given: Any) -> float:
    """MB that one call adds to the peak of a process."""
    context = multiprocessing.get_context("spawn")  # a peak that nothing else has raised
    queue = context.Queue()
    process = context.Process(target=_peak, args=(queue, *given))
    process.start()
    found = float(queue.get())
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    for work, poolings in (("score", ("mean",)), ("score", ("mean", "max")), ("step", ("mean",))):
        for name, layout in LAYOUTS.items():
            x, y = (taps(arguments.batch, arguments.size, layout, seed) for seed in (0, 1))
            x = [unit_channels(tap) for tap in x]
            apart = (WORK[work]("plain", x, y, poolings) - WORK[work]("fused", x, y, poolings)).abs().max()
            sides = {
                form: lambda form=form: processor(lambda: WORK[work](form, x, y, poolings))  # noqa: B023 - called in this turn
                for form in FORMS
            }
            found = rounds(sides, arguments.rounds)
            print(
                f"{work}, {'+'.join(poolings)}, {name}: plain {found['plain'] * 1e3:.1f} ms of processor, fused "
                f"{found['fused'] * 1e3:.1f}, ratio {found['fused'] / found['plain']:.2f}, apart {apart:.1e}"
            )
        memory = {form: peak(work, form, poolings, arguments.batch, arguments.size) for form in FORMS}
        print(f"{work}, {'+'.join(poolings)}: peak plain {memory['plain']:.0f} MB, fused {memory['fused']:.0f} MB")


if __name__ == "__main__":
    main()
