"""Scoring, the loss and their memory, each against the least that it could cost.

    python benchmarks/scoring.py [throughput] [lpips] [memory] [loss] [precision]      (default: all that can run here)

throughput  5 candidates per reference, files on disk, ResNet-50 at 224 px: images/s against the bare backbone on the same
            images, 6 a pass, already decoded (target: at least 0.9); the same ratio of processor time, which other work on
            the machine disturbs less
lpips       pairs/s against the `lpips` package (VGG-16) with the same backbone size, candidates decoded by both (at least 1.5)
memory      1024x768 files, ResNet-50, whole resolution: peak above the loaded model (under 2 GiB)
loss        a step of SemanticDifferenceLoss against the backbone's forward and backward on the candidate (at most 1.1)
precision   float32, TF32, bf16 and fp16 on a GPU: images/s beside the bare backbone's, largest change of a score (under 1e-3)

All weights are random; costs do not depend on them. Both sides run in turn, the ratio is of the medians of the rounds.
"""

import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from PIL import Image

from backbones import build_backbone
from heads import build_head
from lightning_modules.scorer import RunScorer
from semfid import SemanticDifferenceLoss
from semfid.io.file_pairs import FilePair, pair_files
from semfid.io.images import read_image, to_planes
from semfid.scoring.arithmetic import float32_products
from semfid.scoring.folder import score_files
from semfid.scoring.score_settings import Precision as Kind
from semfid.scoring.score_settings import ScoreSettings, settings_for
from semfid.scoring.scorer import Facts

GROUP = 6  # a reference and five candidates


def scorer_of(name: str, normalize: str = "unit", **keywords: object) -> RunScorer:
    backbone = build_backbone(name, {"pretrained": "none", **keywords})
    torch.manual_seed(0)
    head = build_head("lpips_linear", backbone, {"depth": 4, "normalize": normalize, "weights": "nonnegative"})
    return RunScorer(backbone, [head], Facts("benchmark/run", "none", 224, "squash", False, True, {}))


def write_files(folder: Path, groups: int, width: int, height: int) -> list[FilePair]:
    rng = np.random.default_rng(0)
    for index in range(groups):
        small = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        for kind in ("HQ", *(f"SR/m{n}" for n in range(GROUP - 1))):
            path = folder / kind / f"{index:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            noisy = small.astype(int) + rng.integers(-20, 20, small.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).resize((width, height)).save(path, quality=95)
    return pair_files(folder / "HQ", folder / "SR").pairs


def rounds(sides: dict[str, Callable[[], float]], count: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()  # warm
    for _ in range(count):
        for name, side in sides.items():
            times[name].append(side())
    return {name: statistics.median(values) for name, values in times.items()}


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def decoded(pairs: list[FilePair]) -> list[torch.Tensor]:
    out = []
    for start in range(0, len(pairs), GROUP - 1):
        paths = [pairs[start].reference, *(pair.candidate for pair in pairs[start : start + GROUP - 1])]
        out.append(torch.stack([torch.from_numpy(to_planes(read_image(path))).float() / 255 for path in paths]))
    return out


def throughput(groups: int = 20) -> None:
    scorer = scorer_of("resnet50_imagenet")
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_files(Path(folder), groups, 224, 224)
        images = decoded(pairs)
        settings = settings_for(scorer, "train", "32", "cpu", False)

        def bare() -> None:
            with torch.inference_mode():
                for batch in images:
                    scorer.backbone(batch)

        busy: dict[str, list[float]] = {"ours": [], "bare": []}

        def side(name: str, work: Callable[[], object]) -> float:
            start = time.process_time()
            seconds = timed(work)
            busy[name].append(time.process_time() - start)
            return seconds

        found = rounds(
            {
                "ours": lambda: side("ours", lambda: list(score_files(scorer, pairs, settings))),
                "bare": lambda: side("bare", bare),
            },
            5,
        )
    count = groups * GROUP
    processor = statistics.median(busy["bare"]) / statistics.median(busy["ours"])
    ours, bare_rate = count / found["ours"], count / found["bare"]
    print(
        f"throughput: {ours:.2f} images/s of files, bare backbone {bare_rate:.2f}: {ours / bare_rate:.3f} (target >= 0.9), "
        f"by processor time {processor:.3f}"
    )


def against_lpips(groups: int = 5) -> None:
    import lpips

    scorer = scorer_of("timm", model="vgg16")
    other = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False).eval()
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_files(Path(folder), groups, 224, 224)
        settings = settings_for(scorer, "train", "32", "cpu", False)

        def theirs() -> None:
            with torch.inference_mode():
                for start in range(0, len(pairs), GROUP - 1):
                    group = pairs[start : start + GROUP - 1]
                    x = torch.stack([torch.from_numpy(to_planes(read_image(p.reference))).float() / 255 for p in group])
                    y = torch.stack([torch.from_numpy(to_planes(read_image(p.candidate))).float() / 255 for p in group])
                    other(x, y, normalize=True)

        found = rounds(
            {"ours": lambda: timed(lambda: list(score_files(scorer, pairs, settings))), "lpips": lambda: timed(theirs)},
            5,
        )
    ours, rate = len(pairs) / found["ours"], len(pairs) / found["lpips"]
    print(f"lpips: {ours:.2f} pairs/s, package {rate:.2f} (batches of 5): {ours / rate:.2f} times (target >= 1.5)")


def _memory(queue: "multiprocessing.Queue[tuple[float, float]]") -> None:
    torch.set_num_threads(2)
    scorer = scorer_of("resnet50_imagenet")
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_files(Path(folder), 3, 1024, 768)
        settings = settings_for(scorer, "native", "32", "cpu", True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        list(score_files(scorer, pairs, settings))
        queue.put((before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2))


def memory() -> None:
    context = multiprocessing.get_context("spawn")  # a peak that no other part has raised
    queue: multiprocessing.Queue[tuple[float, float]] = context.Queue()
    process = context.Process(target=_memory, args=(queue,))
    process.start()
    before, peak = queue.get()
    process.join()
    print(f"memory: peak {peak:.2f} GiB, {peak - before:.2f} above the model, with maps (target < 2)")


def loss(batch: int = 4, size: int = 128) -> None:
    torch.manual_seed(1)
    reference = torch.rand(batch, 3, size, size)
    candidate = (reference + 0.1 * torch.rand_like(reference)).clamp(0, 1).requires_grad_(True)
    sides: dict[str, Callable[[], float]] = {}
    for normalize in ("none", "unit"):
        scorer = scorer_of("resnet50_imagenet", normalize)
        criterion = SemanticDifferenceLoss(scorer)
        described = criterion.describe(reference)

        def step(known: Any, criterion: SemanticDifferenceLoss = criterion) -> float:
            return timed(lambda: torch.autograd.grad(criterion(known, candidate), candidate))

        sides[f"normalize {normalize}, reference described before"] = partial(step, described)
        sides[f"normalize {normalize}, with the reference's own pass"] = partial(step, reference)

    def bare() -> None:
        torch.autograd.grad(sum(tap.mean() for tap in scorer.backbone(candidate)), candidate)

    found = rounds({**sides, "bare": lambda: timed(bare)}, 11)
    print(f"loss: backbone forward and backward on the candidate {found['bare'] * 1e3:.0f} ms")
    for name in sides:
        print(f"loss: {name}: {found[name] / found['bare']:.3f} (target <= 1.1, reference described before)")


class Precision(NamedTuple):
    """Scoring from files in one precision: images/s, those of the bare backbone, largest change of a score."""

    rate: float
    bare: float
    change: float


def by_precision(device: str, groups: int, size: int, count: int) -> dict[str, Precision]:
    """Scoring from files and the bare backbone, on images that lie on the device, in every precision of `semfid score`."""
    scorer = scorer_of("resnet50_imagenet").to(device)
    found, exact = {}, np.zeros(0)
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_files(Path(folder), groups, size, size)
        images = torch.cat(decoded(pairs[: 64 // GROUP * (GROUP - 1)])).to(device)  # (at most 60, 3, H, W)
        passes = max(1, groups * GROUP // len(images))
        for kind in get_args(Kind):
            settings = settings_for(scorer, str(size), kind, device, False)
            scores: list[float | None] = []

            def ours(settings: ScoreSettings = settings, scores: list[float | None] = scores) -> None:
                scores[:] = [scored.difference for scored in score_files(scorer, pairs, settings)]

            def bare(kind: Kind = kind) -> None:
                half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(kind)
                mixed = torch.autocast(torch.device(device).type, half, enabled=half is not None)
                with torch.inference_mode(), float32_products(kind == "tf32"), mixed:
                    for _ in range(passes):
                        scorer.backbone(images)
                    if device.startswith("cuda"):
                        torch.cuda.synchronize()

            times = rounds({"ours": partial(timed, ours), "bare": partial(timed, bare)}, count)
            own = np.array(scores, dtype=float)
            exact = own if kind == "32" else exact
            change = float(np.abs(own - exact).max())
            found[kind] = Precision(groups * GROUP / times["ours"], passes * len(images) / times["bare"], change)
    return found


def precision(groups: int = 60) -> None:
    if not torch.cuda.is_available():
        print("precision: no GPU here, not measured")
        return
    for kind, own in by_precision("cuda", groups, 224, 3).items():
        print(
            f"precision {kind}: {own.rate:.0f} images/s, bare backbone {own.bare:.0f}, largest change of a score "
            f"{own.change:.1e} (target < 1e-3)"
        )


if __name__ == "__main__":
    parts = {"throughput": throughput, "lpips": against_lpips, "memory": memory, "loss": loss, "precision": precision}
    for name in sys.argv[1:] or parts:
        parts[name]()
