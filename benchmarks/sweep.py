"""A sweep of 18 frozen-backbone linear variants against the bare backbone forward passes over the distinct images.

    python benchmarks/sweep.py [--scenes 300] [--size 224]

2 ResNet-50 backbones (random weights: nothing is downloaded) x 3 depths x 3 seeds, 5 folds, 30 epochs, PSNR and SSIM left out.
Images are decoded and in memory on both sides. Prints: first sweep / bare, second sweep (another learning rate, so that every
head is trained again; features from the cache) / bare.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from backbones import build_backbone
from engine.runs.ablation import ablate
from engine.runs.context import RunContext
from engine.runs.sweep import read_sweep

EXPERIMENT = """
name: sweep
data: {{name: scenes, folder: {folder}/scenes, scenes: {scenes}, candidates_per_scene: 5, size: 224, image_size: {size},
       in_memory: true, batch_size: {batch}, split: {{folds: 5, val: 0.1}}}}
model:
  name: global_regressor
  backbone: {{name: resnet50_imagenet, pretrained: none}}
  head: {{name: lpips_linear, depth: 3, weights: nonnegative, scale: train}}
  optimizer: {{name: adam, lr: {lr}}}
cache: {{folder: {folder}/cache}}
trainer: {{accelerator: auto, devices: 1, max_epochs: 30}}
output: {folder}/runs
sweep:
  model.backbone.name: [resnet50_imagenet, resnet50_clip]
  model.head.depth: [1, 2, 3]
  seed: [0, 1, 2]
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:

        def sweep(lr: float):  # type: ignore[no-untyped-def]
            path = Path(folder) / "sweep.yaml"
            path.write_text(
                EXPERIMENT.format(
                    folder=folder, scenes=arguments.scenes, size=arguments.size, lr=lr, batch=arguments.batch
                )
            )
            return read_sweep(path, [])

        first, second = sweep(0.01), sweep(0.02)
        context = RunContext()
        data = context.data(first.variants[0].config)
        images = {digest: data.dataset.image(path) for path, digest in data.image_hashes().items()}
        print(f"{len(data.table)} pairs, {len(images)} distinct images, {torch.get_num_threads()} threads", flush=True)

        distinct = list(images.values())
        bare = 0.0
        for name in ("resnet50_imagenet", "resnet50_clip"):
            backbone = build_backbone(name, {"pretrained": "none"}).to("cuda" if torch.cuda.is_available() else "cpu")
            with torch.inference_mode():
                start = time.perf_counter()
                for at in range(0, len(distinct), 32):
                    taps = backbone.features(
                        torch.stack(distinct[at : at + 32]).to(backbone.mean.device).float() / 255.0
                    )
                    taps[-1].sum().item()
                bare += time.perf_counter() - start
        print(f"bare backbones: {bare:.1f} s", flush=True)

        for title, experiment in (("first sweep", first), ("second sweep", second)):
            start = time.perf_counter()
            _, failures = ablate(experiment, context=context)
            seconds = time.perf_counter() - start
            print(
                f"{title}: {seconds:.1f} s = {seconds / bare:.3f} x bare backbones, {len(failures)} failures",
                flush=True,
            )


if __name__ == "__main__":
    main()
