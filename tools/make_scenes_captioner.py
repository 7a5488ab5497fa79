"""Trains assets/captioners/scenes_captioner.safetensors.

python tools/make_scenes_captioner.py    # about 15 minutes on an idle core; --work keeps drawn scenes and the first stage

First every cell of an image learns what stands in it (`scene_training`); then a head learns where the middles of things are, of
which class and colour, and how near they stand: first on cells that stay as they are, at last with them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scene_training import (
    CLASSES,
    COLOUR_NAMES,
    HELD_OUT,
    SEEN,
    STRIDE,
    TRAINED,
    TRUNK,
    WIDTH,
    Batch,
    SceneImages,
    batches,
    draw_scenes,
    save_network,
    schedule,
    to_tensor,
    trained_cells,
    training_arguments,
    view,
)
from torch import Tensor, nn

from data_tools.synthetic import CATEGORIES, ObjectSpec, SceneSpec, caption
from data_tools.synthetic.appearance import look
from data_tools.synthetic.backgrounds import BACKGROUNDS
from models.captioners.scenes_captioner import WEIGHTS, FindThings, Seen, Words, build_net, read_things

HIDDEN = 80
SIDE = SEEN // STRIDE  # cells
LEAST = (
    0.2,
    0.25,
    0.3,
    0.35,
    0.4,
    0.45,
    0.5,
)  # how sure of a thing; chosen on scenes of the training world that were kept aside
ASIDE = 400


@dataclass(frozen=True)
class Targets:
    """What the head should say.

    Attributes:
        centres: (N, things, SIDE, SIDE) float16, 1 in the cell of an object's middle, less around it.
        colours: (N, SIDE, SIDE) int64, -1 = no object's middle.
        feet: (N, SIDE, SIDE) float32.
        places: (N,) int64.
    """

    centres: Tensor
    colours: Tensor
    feet: Tensor
    places: Tensor

    @classmethod
    def of(cls, data: SceneImages) -> Targets:
        count, things = len(data.specs), len(CATEGORIES)
        centres = np.zeros((count, things, SIDE, SIDE), dtype=np.float16)
        colours = np.full((count, SIDE, SIDE), -1, dtype=np.int64)
        feet = np.zeros((count, SIDE, SIDE), dtype=np.float32)
        places = np.zeros(count, dtype=np.int64)
        rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
        for number, spec in enumerate(data.specs):
            places[number] = CLASSES.index(spec.background) - things
            for one in spec.objects:
                kind = CLASSES.index(one.category)
                if not (data.classes[number] == kind).any():  # hidden
                    continue
                x, y = one.x * SIDE, (one.y - one.size / 2) * SIDE
                spread = max(0.5, one.size * SIDE / 6)
                hill = 0.95 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
                centres[number, kind] = np.maximum(centres[number, kind], hill)
                cell = min(SIDE - 1, int(y)), min(SIDE - 1, int(x))
                centres[number, kind][cell] = 1
                colours[number][cell] = COLOUR_NAMES.index(look(one.category, one.variant).colour)
                feet[number][cell] = one.y
        return cls(*(torch.from_numpy(part) for part in (centres, colours, feet, places)))

    def of_batch(self, batch: Batch) -> Targets:
        """Rows of a batch, mirrored where its images are."""
        rows, flipped = torch.from_numpy(batch.rows), torch.from_numpy(batch.flipped)
        grids = []
        for whole in (self.centres, self.colours, self.feet):
            part = whole[rows]
            part[flipped] = part[flipped].flip(-1)
            grids.append(part)
        return Targets(grids[0].float(), grids[1], grids[2], self.places[rows])


def loss_of(seen: Seen, target: Targets) -> Tensor:
    """Penalty-reduced focal loss of the middles (arXiv 1904.07850, eq. 1), and what is said of the things there."""
    sure = seen.centres.sigmoid().clamp(1e-4, 1 - 1e-4)
    middle = target.centres == 1
    hit, miss = (1 - sure) ** 2 * sure.log(), (1 - target.centres) ** 4 * sure**2 * (1 - sure).log()
    focal = -torch.where(middle, hit, miss).sum() / middle.sum().clamp(min=1)
    there = target.colours >= 0
    colour = F.cross_entropy(seen.colours, target.colours, ignore_index=-1)
    foot = (seen.feet - target.feet)[there].abs().mean()
    return focal + 0.5 * colour + 5 * foot + 0.5 * F.cross_entropy(seen.places, target.places)


def train(data: SceneImages, net: FindThings, steps: int, seed: int, size: int, rate: float, cell_rate: float) -> None:
    """With `cell_rate` 0 the cells stay as they are, and a step takes half of the time."""
    targets = Targets.of(data)
    net.train()
    if not cell_rate:
        net.cells.eval()
    cell_parameters = list(net.cells.parameters())
    kept = {id(one) for one in cell_parameters}
    groups = [
        {"params": [one for one in net.parameters() if id(one) not in kept], "top": rate},
        {"params": cell_parameters if cell_rate else [], "top": cell_rate},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=0.01)
    for one in cell_parameters:
        one.requires_grad_(bool(cell_rate))
    start = time.monotonic()
    for step, batch in enumerate(batches(data, size, steps, seed)):
        for group in optimizer.param_groups:
            group["lr"] = group["top"] * schedule(step, steps)
        loss = loss_of(net(batch.images), targets.of_batch(batch))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        if step % 25 == 24 or step == steps - 1:
            print(f"captioner {step + 1} of {steps}: loss {loss:.3f}, {time.monotonic() - start:.0f} s", flush=True)
    net.eval()


@torch.inference_mode()
def look_at(net: FindThings, data: SceneImages, rows: range, rng: np.random.Generator | None) -> list[Seen]:
    """What the network says of scenes, all degraded with `rng`."""
    views = [view(data, row, rng, 1.0) for row in rows]
    return [net(to_tensor(views[k : k + 64])) for k in range(0, len(views), 64)]


def figures(specs: list[SceneSpec], seen: list[Seen], words: Words, least: float) -> dict[str, float]:
    """Whole sentences right; words right in whatever order; objects found, and of those said the ones that are there."""
    said = [one for some in seen for one in read_things(some, least)]
    truth, sentences = [caption(spec) for spec in specs], [words.sentence(*one) for one in said]
    there = [Counter(one.category for one in spec.objects) for spec in specs]
    found = [Counter(words.things[kind] for kind, _ in some) for some, _ in said]
    both = sum(sum((a & b).values()) for a, b in zip(there, found, strict=True))
    return {
        "exact": float(np.mean([a == b for a, b in zip(truth, sentences, strict=True)])),
        "words": float(np.mean([word_accuracy(a, b) for a, b in zip(truth, sentences, strict=True)])),
        "object_recall": both / sum(sum(a.values()) for a in there),
        "object_precision": both / max(1, sum(sum(b.values()) for b in found)),
    }


def word_accuracy(truth: str, said: str) -> float:
    """Words that both sentences have, of the longer one's number."""
    a, b = (Counter(text.replace(",", "").split()) for text in (truth, said))
    return sum((a & b).values()) / max(sum(a.values()), sum(b.values()))


def plural(name: str) -> str:
    """As captions write it."""
    two = tuple(ObjectSpec(name, 0.5, 0.5, 0.2, variant, False) for variant in (1, 2))
    said = caption(SceneSpec("street", 0, two))
    return said.removeprefix("two ").removesuffix(f" {BACKGROUNDS['street'].phrase}")


def main() -> None:
    parser = training_arguments(64, WEIGHTS)
    parser.add_argument("--joint-steps", type=int, default=100, help="with cells that learn along")
    given = parser.parse_args()
    torch.set_num_threads(1)  # sums do not depend on the machine's cores
    start = time.monotonic()
    data = draw_scenes(TRAINED, given.scenes, given.work)
    aside = range(max(0, given.scenes - ASIDE), given.scenes)
    learned = data.first(max(given.scenes - ASIDE, given.scenes // 2))
    cells = trained_cells(data, given.cell_steps, given.work, given.seed)
    names = [one.name for one in CATEGORIES]
    facts = {
        "kind": "scenes_captioner",
        "trunk": json.dumps(TRUNK),
        "width": str(WIDTH),
        "hidden": str(HIDDEN),
        "image_size": str(SEEN),
        "things": json.dumps(names),
        "plurals": json.dumps([plural(name) for name in names]),
        "colours": json.dumps(COLOUR_NAMES),
        "places": json.dumps([BACKGROUNDS[name].phrase for name in CLASSES[len(names) :]]),
    }
    torch.manual_seed(given.seed)
    net = build_net(facts)
    nn.init.constant_(net.say.bias[: len(names)], -3.0)  # most cells are no object's middle
    net.cells.load_state_dict(cells.state_dict())
    train(learned, net, given.steps, given.seed + 1, given.batch, 4e-3, 0.0)
    if given.joint_steps:
        train(learned, net, given.joint_steps, given.seed + 2, given.batch, 1e-3, 5e-4)
    net.eval()
    words = Words.of(facts)
    seen = look_at(net, data, aside, None) + look_at(net, data, aside, np.random.default_rng(2))
    kept = [data.specs[row] for row in aside]
    right = {least: figures(kept + kept, seen, words, least)["words"] for least in LEAST}
    least = max(right, key=lambda one: right[one])
    held, found = draw_scenes(HELD_OUT, given.held_out), {}
    for kind, rng in (("clean", None), ("degraded", np.random.default_rng(1))):
        measured = figures(held.specs, look_at(net, held, range(given.held_out), rng), words, least)
        found |= {f"{name}_{kind}": f"{value:.3f}" for name, value in measured.items()}
    steps = f"{given.cell_steps}, {given.steps} and {given.joint_steps} steps"
    facts |= {
        "least": str(least),
        "trained_by": "tools/make_scenes_captioner.py",
        "trained_on": f"{given.scenes} scenes of world {TRAINED}, {steps}, seed {given.seed}",
        "input": f"{SEEN}x{SEEN}, RGB in [0, 1]",
        "dtype": "float16",
        "held_out": f"{given.held_out} scenes of world {HELD_OUT}",
        **found,
    }
    save_network(given.out, facts, net=net)
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
