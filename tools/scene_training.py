"""What the makers of the scenes' tower and captioner share: drawn training images, and cells that know what stands in them.

Worlds: TRAINED is drawn for training, HELD_OUT for the figures in the files. The experiments use the worlds 0, 1000, 2000 and
3000, so no scene of theirs is trained on.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from data_tools.synthetic import CATEGORIES, DEGRADATIONS, EDITS, SceneSpec, degrade, edit, render, sample_scene
from data_tools.synthetic.appearance import COLOURS, look
from data_tools.synthetic.backgrounds import BACKGROUNDS
from models.bundled import CellFeatures

TRAINED, HELD_OUT = 4000, 4500  # seeds of worlds
DRAWN, SEEN, STRIDE = 128, 80, 8  # pixels: scenes are drawn at, models look at, a cell of theirs covers
GRID = 12  # cells a side of the labels
WIDTH = 160  # of a cell's features
CLASSES = [one.name for one in CATEGORIES] + sorted(BACKGROUNDS)
COLOUR_NAMES = list(COLOURS)
# timm's ResNet without its last stage; strides 8 and 16 are looked at
TRUNK: dict[str, Any] = {
    "model_name": "resnet18",
    "channels": [32, 80, 128, 16],
    "layers": [1, 2, 1, 1],
    "stem_width": 8,
    "stem_type": "deep",
    "out_indices": [2, 3],
}

Bytes = NDArray[np.uint8]


def training_arguments(batch: int, out: Path) -> argparse.ArgumentParser:
    """What both makers can be told; its defaults made the files of this repository."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=12000)
    parser.add_argument("--cell-steps", type=int, default=650)
    parser.add_argument("--steps", type=int, default=300, help="with cells as they are")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--held-out", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("data/scene_training"))
    parser.add_argument("--out", type=Path, default=out)
    return parser


@dataclass(frozen=True)
class SceneImages:
    """Drawn scenes; every second one is the one before it with one object exchanged or removed.

    Attributes:
        pixels: (N, DRAWN, DRAWN, 3) uint8.
        small: (N, SEEN, SEEN, 3) uint8, the same.
        classes: (N, GRID, GRID) uint8, index into CLASSES of what takes most of a cell.
        colours: (N, GRID, GRID) int8, index into COLOUR_NAMES of the object there, -1 = background.
        specs: the scenes.
    """

    pixels: Bytes
    small: Bytes
    classes: Bytes
    colours: NDArray[np.int8]
    specs: list[SceneSpec]

    def first(self, count: int) -> SceneImages:
        """The first `count` of them."""
        parts = (part[:count] for part in (self.pixels, self.small, self.classes, self.colours))
        return SceneImages(*parts, self.specs[:count])


def spec_at(world: int, number: int) -> SceneSpec:
    """Scene number // 2 of a world; odd numbers are edited, so that things stand where they never stand by themselves."""
    spec = sample_scene(world, number // 2)
    if number % 2 == 0:
        return spec
    rng = np.random.default_rng([world, number, 77])
    kind = EDITS[int(rng.choice(len(EDITS), p=[0.15, 0.25, 0.45, 0.15]))]
    return edit(spec, kind, int(rng.integers(len(spec.objects))), int(rng.integers(2**31)))


def draw_scenes(world: int, count: int, cache: Path | None = None) -> SceneImages:
    """Draw `count` scenes, or read them from the cache (6 ms a scene; 55 kB each)."""
    specs = [spec_at(world, number) for number in range(count)]
    path = None if cache is None else cache / f"scenes-{world}-{count}.npz"
    if path is not None and path.is_file():
        kept = np.load(path)
        pixels = kept["pixels"]
        return SceneImages(pixels, np.stack([_small(one) for one in pixels]), kept["classes"], kept["colours"], specs)
    pixels = np.zeros((count, DRAWN, DRAWN, 3), dtype=np.uint8)
    classes = np.zeros((count, GRID, GRID), dtype=np.uint8)
    colours = np.full((count, GRID, GRID), -1, dtype=np.int8)
    start = time.monotonic()
    for number, spec in enumerate(specs):
        drawn = render(spec, DRAWN)
        pixels[number] = drawn.image
        classes[number], colours[number] = _labels(spec, drawn.ids)
        if number % 1000 == 999:
            print(f"drawn {number + 1} of {count}, {time.monotonic() - start:.0f} s", flush=True)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, pixels=pixels, classes=classes, colours=colours)
        part.replace(path)
    return SceneImages(pixels, np.stack([_small(one) for one in pixels]), classes, colours, specs)


def _labels(spec: SceneSpec, ids: Bytes) -> tuple[Bytes, NDArray[np.int8]]:
    side = 8 * GRID
    small = np.asarray(Image.fromarray(ids).resize((side, side), Image.Resampling.NEAREST))
    cells = small.reshape(GRID, 8, GRID, 8).transpose(0, 2, 1, 3).reshape(GRID, GRID, -1)
    shares = np.stack([(cells == number).mean(axis=2) for number in range(len(spec.objects) + 1)])
    most = shares.argmax(axis=0)  # (GRID, GRID)
    kinds = [CLASSES.index(spec.background), *(CLASSES.index(one.category) for one in spec.objects)]
    colours = [-1, *(COLOUR_NAMES.index(look(one.category, one.variant).colour) for one in spec.objects)]
    return np.asarray(kinds, np.uint8)[most], np.asarray(colours, np.int8)[most]


def view(data: SceneImages, row: int, rng: np.random.Generator | None, share: float = 0.8) -> Bytes:
    """(SEEN, SEEN, 3) of a drawn scene; with `rng`, a share of them is degraded by one or two kinds of any strength."""
    if rng is None or rng.random() >= share:
        return data.small[row]
    name = "+".join(rng.choice(DEGRADATIONS, size=int(rng.integers(1, 3)), replace=False))
    strength = float(rng.random())
    if rng.random() < 0.7:  # most often at the small size, which is faster
        return degrade(data.small[row], name, strength, rng)
    return _small(degrade(data.pixels[row], name, strength, rng))


def _small(pixels: Bytes) -> Bytes:
    return np.asarray(Image.fromarray(pixels).resize((SEEN, SEEN), Image.Resampling.BICUBIC))


def to_tensor(views: Sequence[Bytes]) -> Tensor:
    """(B, 3, SEEN, SEEN) in [0, 1], channels last: twice as fast on a CPU."""
    stacked = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 255.0
    return stacked.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Batch:
    """Training images of one step.

    Attributes:
        images: (B, 3, SEEN, SEEN).
        rows: which scenes.
        flipped: which of them are mirrored.
    """

    images: Tensor
    rows: NDArray[np.int64]
    flipped: NDArray[np.bool_]


def batches(data: SceneImages, size: int, steps: int, seed: int) -> Iterator[Batch]:
    """Degraded and mirrored views; a scene and its edited twin come together, as each other's hardest negative."""
    pairs = len(data.specs) // 2
    order: list[int] = []
    for step in range(steps):
        rng = np.random.default_rng([seed, step])
        if len(order) < size // 2:
            order += rng.permutation(pairs).tolist()
        chosen, order = order[: size // 2], order[size // 2 :]
        rows = np.asarray([2 * pair + half for pair in chosen for half in (0, 1)], dtype=np.int64)
        flipped = rng.random(len(rows)) < 0.5
        views = [view(data, row, rng) for row in rows]
        yield Batch(
            to_tensor([v[:, ::-1] if mirrored else v for v, mirrored in zip(views, flipped, strict=True)]),
            rows,
            flipped,
        )


def build_cells() -> CellFeatures:
    """An untrained network: SEEN / STRIDE cells a side."""
    return CellFeatures(TRUNK, WIDTH)


def schedule(step: int, steps: int, warm: int = 30) -> float:
    """Share of the highest learning rate: up in `warm` steps, down as a cosine."""
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def train_cells(data: SceneImages, steps: int, seed: int = 0, size: int = 64, rate: float = 3e-3) -> CellFeatures:
    """Cells that know what stands in them, in which colour, on clean and on degraded images."""
    torch.manual_seed(seed)
    cells = build_cells().train()
    head = nn.Conv2d(WIDTH, len(CLASSES) + len(COLOUR_NAMES), 1)
    parameters = [*cells.parameters(), *head.parameters()]
    places = len(BACKGROUNDS)
    weights = torch.cat([torch.ones(len(CLASSES) - places), torch.full((places,), 0.3)])
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05)
    start = time.monotonic()
    for step, batch in enumerate(batches(data, size, steps, seed)):
        optimizer.param_groups[0]["lr"] = rate * schedule(step, steps)
        kinds, colours = (_grid(labels, batch) for labels in (data.classes, data.colours))
        found = F.interpolate(head(cells(batch.images)), (GRID, GRID), mode="bilinear", align_corners=False)
        kind_logits, colour_logits = found.split([len(CLASSES), len(COLOUR_NAMES)], dim=1)  # (B, ..., GRID, GRID)
        loss = F.cross_entropy(kind_logits, kinds, weights, label_smoothing=0.05)
        loss = loss + 0.5 * F.cross_entropy(colour_logits, colours, ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        if step % 25 == 24 or step == steps - 1:
            on = colours >= 0
            right = (kind_logits.argmax(1) == kinds)[on].float().mean()
            hue = (colour_logits.argmax(1) == colours)[on].float().mean()
            print(
                f"cells {step + 1} of {steps}: loss {loss:.3f}, objects {right:.3f}, colours {hue:.3f}, "
                f"{time.monotonic() - start:.0f} s",
                flush=True,
            )
    return cells


def _grid(labels: NDArray[np.generic], batch: Batch) -> Tensor:
    """(B, GRID, GRID) int64 of the batch, mirrored where the images are."""
    found = labels[batch.rows].astype(np.int64)
    found[batch.flipped] = found[batch.flipped][:, :, ::-1]
    return torch.from_numpy(found)


def trained_cells(data: SceneImages, steps: int, cache: Path, seed: int = 0) -> CellFeatures:
    """`train_cells`, or what it left in the cache."""
    path = cache / f"cells-{len(data.specs)}-{steps}-{seed}.pt"
    if not path.is_file():
        trained = train_cells(data, steps, seed)
        cache.mkdir(parents=True, exist_ok=True)
        torch.save(trained.state_dict(), path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    cells = build_cells()
    cells.load_state_dict(torch.load(path, weights_only=True))
    return cells


def save_network(path: Path, facts: dict[str, str], **parts: nn.Module) -> None:
    """As float16, with the facts as metadata; `small_networks.NetworkFile` reads it."""
    weights = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    half = {key: (v.half() if v.is_floating_point() else v).contiguous() for key, v in weights.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(half, path, metadata=facts)
    told = {key: value for key, value in facts.items() if len(value) < 100}
    print(path, f"{path.stat().st_size / 1e6:.2f} MB", json.dumps(told, indent=1), flush=True)
