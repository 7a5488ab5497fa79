"""Trains assets/towers/scenes_tower.safetensors, and writes the list of words beside it.

python tools/make_scenes_tower.py        # about 15 minutes on an idle core; --work keeps drawn scenes and the first stage

First every cell of an image learns what stands in it (`scene_training`); then images meet their captions: symmetric InfoNCE as in
CLIP, with a scene's edited twin in the same batch, and a sigmoid loss as in SigLIP on single words and short phrases.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scene_training import (
    HELD_OUT,
    SEEN,
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
    training_arguments,
    view,
)
from torch import Tensor, nn

from data_tools.synthetic import SceneSpec
from data_tools.synthetic.appearance import COLOURS, look
from data_tools.synthetic.backgrounds import BACKGROUNDS
from data_tools.synthetic.captions import caption
from data_tools.synthetic.categories import BY_NAME
from models.dual_encoders.scenes_tower import VOCABULARY, WEIGHTS, ImageSide, TextSide, build_sides, terms

DIM = 128
PLACES = {
    "street": ("street",),
    "night": ("street", "city street", "night"),
    "meadow": ("meadow",),
    "beach": ("beach",),
    "lake": ("lake",),
    "desert": ("desert",),
    "snow": ("snow",),
    "room": ("living room", "room"),
    "kitchen": ("kitchen",),
}


def true_phrases(spec: SceneSpec) -> set[str]:
    """Words and short phrases that are true of a scene."""
    found = {*PLACES[spec.background], BACKGROUNDS[spec.background].phrase}
    for one in spec.objects:
        colour = look(one.category, one.variant).colour
        found |= {one.category, colour, f"{colour} {one.category}", BY_NAME[one.category].supercategory}
    for part in parts_of(spec)[0]:
        if part.split()[0] not in ("a", "an"):  # two dogs
            found |= {part, *part.split(maxsplit=1)}
    return found


def parts_of(spec: SceneSpec) -> tuple[list[str], str]:
    """The things of a caption, nearest first, and the place."""
    place = BACKGROUNDS[spec.background].phrase
    things = caption(spec).removesuffix(place).strip()
    return [part for some in things.split(", ") for part in some.split(" and ")], place


def drawn_text(spec: SceneSpec, rng: np.random.Generator) -> set[str]:
    """Half of the time all that the caption says, otherwise some of it."""
    things, place = parts_of(spec)
    if rng.random() < 0.5:
        return {*things, place}
    kept = {thing for thing in things if rng.random() < 0.6}
    if not kept or rng.random() < 0.6:
        kept.add(place)
    return kept


def matching(image: Tensor, text: Tensor, scale: Tensor, also: Tensor) -> Tensor:
    """Symmetric InfoNCE, mean over the batch; pairs that are `also` true, (B, B) bool, are no negatives."""
    logits = (scale * image @ text.T).masked_fill(also, float("-inf"))
    own = torch.arange(len(image))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def train(
    data: SceneImages, image: ImageSide, text: TextSide, phrases: list[str], steps: int, seed: int, size: int
) -> None:
    torch.manual_seed(seed)
    true = [true_phrases(spec) for spec in data.specs]
    holds = np.asarray([[phrase in found for phrase in phrases] for found in true])  # (N, P)
    said = [{*parts_of(spec)[0], parts_of(spec)[1]} for spec in data.specs]
    scales = nn.ParameterDict(
        {
            "match": nn.Parameter(torch.tensor(math.log(10.0))),
            "word": nn.Parameter(torch.tensor(math.log(10.0))),
            "bias": nn.Parameter(torch.tensor(-4.0)),
        }
    )
    groups = [
        {"params": list(image.cells.parameters()), "top": 6e-4, "weight_decay": 0.05},
        {"params": [*image.project.parameters(), *text.parameters()], "top": 4e-3, "weight_decay": 0.0},
        {"params": list(scales.parameters()), "top": 4e-3, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    start = time.monotonic()
    for step, batch in enumerate(batches(data, size, steps, seed + 1)):
        for group in optimizer.param_groups:
            group["lr"] = group["top"] * schedule(step, steps)
        rng = np.random.default_rng([seed, step, 5])
        texts = [drawn_text(data.specs[row], rng) for row in batch.rows]
        also = torch.tensor([[t <= said[row] for t in texts] for row in batch.rows])  # (images, texts)
        also.fill_diagonal_(False)
        seen = F.normalize(image(batch.images), dim=1)
        heard = F.normalize(text([", ".join(sorted(t)) for t in texts]), dim=1)
        words = F.normalize(text(phrases), dim=1)
        loss_match = matching(seen, heard, scales["match"].exp().clamp(max=60.0), also)
        logits = scales["word"].exp() * seen @ words.T + scales["bias"]  # (B, P)
        target = torch.from_numpy(holds[batch.rows]).float()
        loss_words = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=1).mean()
        loss = loss_match + 0.1 * loss_words
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 24 or step == steps - 1:
            print(
                f"tower {step + 1} of {steps}: match {loss_match:.3f}, words {loss_words:.3f}, "
                f"scales {scales['match'].exp():.1f} {scales['word'].exp():.1f}, {time.monotonic() - start:.0f} s",
                flush=True,
            )


def held_out(image: ImageSide, text: TextSide, count: int) -> dict[str, str]:
    """Figures on a world of its own: the right caption first among all, and the words of the list by average precision."""
    data = draw_scenes(HELD_OUT, count)
    sentences = [caption(spec) for spec in data.specs]
    words = [word for word, _ in vocabulary()]
    true = np.asarray([[word in true_phrases(spec) for word in words] for spec in data.specs])
    found = {}
    with torch.inference_mode():
        heard = F.normalize(text(sentences), dim=1)
        names = F.normalize(text(words), dim=1)
        for kind, rng in (("clean", None), ("degraded", np.random.default_rng(1))):
            views = [view(data, row, rng, 1.0) for row in range(count)]
            seen = torch.cat([F.normalize(image(to_tensor(views[k : k + 64])), dim=1) for k in range(0, count, 64)])
            for way, (asked, among) in {"to_text": (seen, heard), "to_image": (heard, seen)}.items():
                nearest = (asked @ among.T).argmax(dim=1).tolist()
                right = np.mean([sentences[k] == sentences[row] for row, k in enumerate(nearest)])
                found[f"recall1_{way}_{kind}"] = f"{right:.3f}"
            found[f"words_ap_{kind}"] = f"{mean_average_precision((seen @ names.T).numpy(), true):.3f}"
    return {**found, "held_out": f"{count} scenes of world {HELD_OUT}"}


def mean_average_precision(scores: NDArray[np.float32], true: NDArray[np.bool_]) -> float:
    """Over the words that hold at least once."""
    values = []
    for score, right in zip(scores.T, true.T, strict=True):
        if right.any():
            ranked = right[np.argsort(-score, kind="stable")]
            values.append((np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked].mean())
    return float(np.mean(values))


def vocabulary() -> list[tuple[str, bool]]:
    """Words of the embedded world, and whether each is a noun; without numbers, plurals and names of groups."""
    nouns = [*BY_NAME, *dict.fromkeys(names[-1] for names in PLACES.values())]
    nouns[nouns.index("room")] = "living room"
    return [(word, False) for word in COLOURS] + [(word, True) for word in nouns]


def main() -> None:
    given = training_arguments(96, WEIGHTS).parse_args()
    torch.set_num_threads(1)  # sums do not depend on the machine's cores
    start = time.monotonic()
    data = draw_scenes(TRAINED, given.scenes, given.work)
    cells = trained_cells(data, given.cell_steps, given.work, given.seed)
    phrases = sorted(set().union(*(true_phrases(spec) for spec in data.specs)))
    counts = Counter(term for spec in data.specs for term in {*terms(caption(spec))})
    known = sorted({term for phrase in phrases for term in terms(phrase)} | {t for t, n in counts.items() if n >= 10})
    facts = {
        "kind": "scenes_tower",
        "trunk": json.dumps(TRUNK),
        "width": str(WIDTH),
        "dim": str(DIM),
        "image_size": str(SEEN),
        "terms": json.dumps(known),
    }
    image, text = build_sides(facts)
    image.cells.load_state_dict(cells.state_dict())
    image.train()
    train(data, image, text, phrases, given.steps, given.seed, given.batch)
    image.eval()
    facts |= {
        "trained_by": "tools/make_scenes_tower.py",
        "trained_on": f"{given.scenes} scenes of world {TRAINED}, {given.cell_steps} and {given.steps} steps, seed {given.seed}",
        "input": f"{SEEN}x{SEEN}, RGB in [0, 1]",
        "dtype": "float16",
        **held_out(image, text, given.held_out),
    }
    save_network(given.out, facts, image=image, text=text)
    head = "# Words that scenes_tower knows; nouns are marked. Made by tools/make_scenes_tower.py.\n"
    lines = [f"{word}\tnoun\n" if noun else f"{word}\n" for word, noun in vocabulary()]
    (given.out.parent / VOCABULARY.name).write_text(head + "".join(lines), encoding="utf-8")
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
