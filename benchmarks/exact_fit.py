"""Exact fits: 18 linear variants over cached statistics against the bare backbone passes, and one large fit.

    python benchmarks/exact_fit.py sweep [--scenes 300] [--size 224] [--bare 200]
    python benchmarks/exact_fit.py large [--pairs 10000] [--inputs 4000]

`sweep`: 2 ResNet-50 backbones (random weights: nothing is downloaded) x 3 depths x 3 poolings, 5 folds. Images are decoded and in
memory on both sides; the bare passes are timed on the first `--bare` of the distinct images and scaled up. Prints the first sweep
(features are computed), the second (another compression, so that every head is fitted again on cached features), and the 18 fits
alone, of all pairs. Wall-clock and processor seconds: on a machine with other work the latter tell what the work takes.

`large`: one ridge regression with its penalty chosen on left-out photos, five pairs a photo.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from backbones import build_backbone
from datamodules import Part
from engine.runs.ablation import ablate
from engine.runs.context import RunContext
from engine.runs.run_cached import make_head, make_module, statistics_of
from engine.runs.sweep import read_sweep
from engine.training.exact import Problem, Squared, choose_and_solve
from engine.training.exact_fit import exact_settings, fit_exactly

EXPERIMENT = """
name: exact
data: {{name: scenes, folder: {folder}/scenes, scenes: {scenes}, candidates_per_scene: 5, size: 224, image_size: {size},
       in_memory: true, split: {{folds: 5}}}}
model:
  name: global_regressor
  backbone: {{name: resnet50_imagenet, pretrained: none}}
  head: {{name: lpips_linear, depth: 3, compress: {compress}}}
cache: {{folder: {folder}/cache}}
trainer: {{accelerator: auto, devices: 1}}
output: {folder}/runs
sweep:
  model.backbone.name: [resnet50_imagenet, resnet50_clip]
  model.head.depth: [1, 2, 3]
  model.head.pooling: [mean, max, "top:0.05"]
"""


class Watch:
    """Wall-clock and processor seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._processor

    def __str__(self) -> str:
        wall, processor = self.read()
        return f"{wall:.1f} s ({processor:.1f} s of processor)"


def sweep(scenes: int, size: int, bare: int) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def read(compress: str):  # type: ignore[no-untyped-def]
            path = Path(folder) / "exact.yaml"
            path.write_text(EXPERIMENT.format(folder=folder, scenes=scenes, size=size, compress=compress))
            return read_sweep(path, [])

        first, second = read("none"), read("sqrt")
        context = RunContext()
        data = context.data(first.variants[0].config)
        images = {digest: data.dataset.image(path) for path, digest in data.image_hashes().items()}
        print(f"{len(data.table)} pairs, {len(images)} distinct images, {torch.get_num_threads()} threads", flush=True)
        wall, processor = bare_passes(list(images.values()), bare)
        print(f"bare backbones: {wall:.1f} s ({processor:.1f} s of processor), scaled from {bare} images", flush=True)
        for title, experiment in (("first sweep", first), ("second sweep", second)):
            watch = Watch()
            _, failures = ablate(experiment, context=context)
            share = [own / other for own, other in zip(watch.read(), (wall, processor), strict=True)]
            print(
                f"{title}: {watch} = {share[0]:.3f} ({share[1]:.3f}) x bare backbones, {len(failures)} failures",
                flush=True,
            )
        fits_alone(context, second, wall, processor)


def bare_passes(images: list[torch.Tensor], count: int) -> tuple[float, float]:
    """Seconds of all images through both backbones, from `count` of them."""
    total = np.zeros(2)
    for name in ("resnet50_imagenet", "resnet50_clip"):
        backbone = build_backbone(name, {"pretrained": "none"})
        backbone = backbone.to("cuda" if torch.cuda.is_available() else "cpu")
        with torch.inference_mode():
            for at in (-32, *range(0, count, 32)):  # the first pass warms up
                watch = Watch()
                batch = torch.stack(images[max(0, at) : max(0, at) + 32]).to(backbone.mean.device).float() / 255.0
                backbone.features(batch)[-1].sum().item()
                total += watch.read() if at >= 0 else (0.0, 0.0)
    seen = len(range(0, count, 32)) * 32
    wall, processor = total * len(images) / seen
    return float(wall), float(processor)


def fits_alone(context: RunContext, experiment, wall: float, processor: float) -> None:  # type: ignore[no-untyped-def]
    """The 18 fits, each of all pairs, statistics at hand."""
    spent = np.zeros(2)
    for variant in experiment.variants:
        config, data = variant.config, context.data(variant.config)
        backbone = context.backbone(config)
        values = statistics_of(config, context, backbone, make_module(config, backbone).head, "")
        rows = np.arange(len(data.table))
        sources = data.table.frame["source_id"].astype(str).tolist()
        watch = Watch()
        fit_exactly(
            lambda config=config, backbone=backbone: make_head(config, backbone),  # type: ignore[misc]
            exact_settings(config),
            values,
            data.difference,
            data.weight,
            sources,
            [Part(0, rows, rows[:0], rows[:0])],
        )
        spent += watch.read()
    print(
        f"18 fits of all pairs: {spent[0]:.1f} s ({spent[1]:.1f} s of processor) = "
        f"{spent[0] / wall:.4f} ({spent[1] / processor:.4f}) x bare backbones",
        flush=True,
    )


def large(pairs: int, inputs: int) -> None:
    rng = np.random.default_rng(0)
    common = np.exp(rng.standard_normal((pairs, 40))) @ np.abs(rng.standard_normal((40, inputs)))
    statistic = (common + np.exp(2 * rng.standard_normal((pairs, inputs)))).astype(np.float32)  # as a cache has them
    del common
    target = np.clip(statistic[:, :20] @ rng.random(20) / 3000 + 0.1 * rng.standard_normal(pairs), 0, 1)
    watch = Watch()
    values = statistic.astype(np.float64)
    weight = np.ones(pairs)
    values /= np.sqrt(np.square(values).mean(axis=0))
    problem = Problem.of(values, target, weight, Squared(), False, False)
    choice = choose_and_solve(problem, np.arange(pairs) // 5)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{pairs} pairs x {inputs} inputs: {watch}, penalty {choice.penalty:.2g} of {len(choice.penalties)}, peak {peak:.2f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["sweep", "large"])
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--bare", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--inputs", type=int, default=4_000)
    arguments = parser.parse_args()
    if arguments.what == "sweep":
        sweep(arguments.scenes, arguments.size, arguments.bare)
    else:
        large(arguments.pairs, arguments.inputs)


if __name__ == "__main__":
    main()
