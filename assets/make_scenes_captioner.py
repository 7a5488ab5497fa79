"""Trains assets/captioners/scenes_captioner.safetensors.

python assets/make_scenes_captioner.py    # about 30 minutes on one core; --work keeps drawn scenes and the first stage

First every cell of an image learns what stands in it (`scene_training`); then a decoder learns to write captions of what the
cells saw, first of cells that stay as they are, at last with them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scene_training import (
    HELD_OUT,
    SEEN,
    STRIDE,
    TRAINED,
    TRUNK,
    WIDTH,
    SceneImages,
    batches,
    draw_scenes,
    save_network,
    schedule,
    to_tensor,
    trained_cells,
    view,
)
from torch import Tensor, nn

from captioners.scenes_captioner import END, WEIGHTS, CaptionNet, build_net, tokens
from scenes.captions import caption
from scenes.categories import BY_NAME

DIM = 128
_SINGULAR = {"buses": "bus", "cacti": "cactus", "creams": "cream"} | {f"{name}s": name for name in BY_NAME}


def padded(sentences: list[list[int]]) -> Tensor:
    """(B, T + 1) of numbers with END before and behind; -1 fills up."""
    longest = max(len(one) for one in sentences)
    return torch.tensor([[END, *one, END, *[-1] * (longest - len(one))] for one in sentences])


def train(data: SceneImages, net: CaptionNet, steps: int, seed: int, size: int, rate: float, cell_rate: float) -> None:
    """With `cell_rate` 0 the cells stay as they are, and a step takes a third of the time."""
    number = {word: index + 1 for index, word in enumerate(net.words)}
    sentences = [[number[word] for word in tokens(caption(spec))] for spec in data.specs]
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
        text = padded([sentences[row] for row in batch.rows])
        logits = net(net.look(batch.images), text[:, :-1].clamp(min=END))
        loss = F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten(), ignore_index=-1, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49 or step == steps - 1:
            asked = text[:, 1:] >= 0
            right = (logits.argmax(dim=2) == text[:, 1:])[asked].float().mean()
            print(
                f"captioner {step + 1} of {steps}: loss {loss:.3f}, words {right:.3f}, {time.monotonic() - start:.0f} s",
                flush=True,
            )


def held_out(net: CaptionNet, count: int) -> dict[str, str]:
    """Figures on a world of its own: whole sentences right, things and places found, and things said that are not there."""
    data = draw_scenes(HELD_OUT, count)
    truth = [caption(spec) for spec in data.specs]
    found = {}
    for kind, rng in (("clean", None), ("degraded", np.random.default_rng(1))):
        views = [view(data, row, rng, 1.0) for row in range(count)]
        said = [text for k in range(0, count, 64) for text in net.write(to_tensor(views[k : k + 64]))]
        pairs = [(things(a), things(b)) for a, b in zip(truth, said, strict=True)]
        both = sum(sum((a & b).values()) for a, b in pairs)
        found |= {
            f"exact_{kind}": f"{np.mean([a == b for a, b in zip(truth, said, strict=True)]):.3f}",
            f"object_recall_{kind}": f"{both / sum(sum(a.values()) for a, _ in pairs):.3f}",
            f"object_precision_{kind}": f"{both / max(1, sum(sum(b.values()) for _, b in pairs)):.3f}",
            f"word_accuracy_{kind}": f"{np.mean([word_accuracy(a, b) for a, b in zip(truth, said, strict=True)]):.3f}",
        }
    return {**found, "held_out": f"{count} scenes of world {HELD_OUT}"}


def things(sentence: str) -> Counter[str]:
    """How many of each class a sentence speaks of."""
    words = sentence.replace("ice cream", "ice_cream").replace(",", "").split()
    found: Counter[str] = Counter()
    for before, word in zip(["", *words], words, strict=False):
        name = word.replace("_", " ")
        name = name if name in BY_NAME else _SINGULAR.get(name, "")
        if name in BY_NAME:
            found[name] += {"two": 2, "three": 3, "four": 4, "five": 5}.get(before, 1)
    return found


def word_accuracy(truth: str, said: str) -> float:
    """Share of the words, in whatever order, that both sentences have; of the longer one's number."""
    a, b = Counter(tokens(truth)), Counter(tokens(said))
    return sum((a & b).values()) / max(sum(a.values()), sum(b.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=12000)
    parser.add_argument("--cell-steps", type=int, default=500)
    parser.add_argument("--steps", type=int, default=1200, help="with cells as they are")
    parser.add_argument("--joint-steps", type=int, default=150, help="with cells that learn along")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--held-out", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("data/scene_training"))
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    torch.set_num_threads(1)  # sums do not depend on the machine's cores
    start = time.monotonic()
    data = draw_scenes(TRAINED, given.scenes, given.work)
    cells = trained_cells(data, given.cell_steps, given.work, given.seed)
    words = sorted({word for spec in data.specs for word in tokens(caption(spec))})
    facts = {
        "kind": "scenes_captioner",
        "trunk": json.dumps(TRUNK),
        "width": str(WIDTH),
        "dim": str(DIM),
        "grid": str(SEEN // STRIDE),
        "image_size": str(SEEN),
        "words": json.dumps(words),
    }
    torch.manual_seed(given.seed)
    net = build_net(facts)
    net.cells.load_state_dict(cells.state_dict())
    train(data, net, given.steps, given.seed + 1, given.batch, 2e-3, 0.0)
    if given.joint_steps:
        train(data, net, given.joint_steps, given.seed + 2, given.batch, 6e-4, 3e-4)
    net.eval()
    steps = f"{given.cell_steps}, {given.steps} and {given.joint_steps} steps"
    facts |= {
        "trained_by": "assets/make_scenes_captioner.py",
        "trained_on": f"{given.scenes} scenes of world {TRAINED}, {steps}, seed {given.seed}",
        "input": f"{SEEN}x{SEEN}, RGB in [0, 1]",
        "dtype": "float16",
        **held_out(net, given.held_out),
    }
    save_network(given.out, facts, net=net)
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
