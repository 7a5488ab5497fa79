"""Renders the pairs that a study starts with in an empty folder: user_study/demo/.

    python tools/make_study_demo.py [OUT]          # OUT: another folder; the default is user_study/demo

Forty pairs of twenty photos and four made-up SR models, twelve traps of both polarities, six training pairs and six
worked examples with explanations. One pair table says which is which; `true_rate` is the share of yes answers of the
simulated panel (data_tools/synthetic/raters.py), against which `semfid study simulate` holds what a study finds.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from data_tools.synthetic import Question, Rendered, SceneSpec, degrade, edit, render, sample_scene, true_rate
from data_tools.synthetic.appearance import look
from data_tools.synthetic.edits import UNCHANGED
from semfid.io.pair_table import PairTable, write_pairs

OUT = Path(__file__).parents[1] / "user_study" / "demo"
WORLD, SIDE, PHOTOS, TRAPS = 4242, 256, 20, 12  # a world of its own: no other experiment draws from this seed
MODELS = {"smooth": "resample+blur", "crisp": "resample+sharpen", "blocky": "jpeg", "tinted": "tone+resample"}
KINDS = 15 * [UNCHANGED] + 6 * ["same_class"] + 7 * ["intra"] + 6 * ["removed"] + 6 * ["inter"]
CLEAR = {"inter": 0.1, "removed": 0.08, "intra": 0.1}  # least area of an object whose exchange nobody can miss
SURE = {"inter": 0.93, "removed": 0.88, "intra": 0.8}  # least true rates of clear changes
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Change:
    """An edited scene and what the panel needs to know of it."""

    spec: SceneSpec
    kind: str
    area: float
    distance: float
    recoloured: bool
    before: str
    after: str

    def rate(self, degradation: str = "none", strength: float = 0.0) -> float:
        question = Question(self.kind, self.area, self.distance, self.recoloured, degradation, strength)
        return round(true_rate(question), 4)


def change(spec: SceneSpec, rendered: Rendered, kind: str, rng: np.random.Generator) -> Change:
    """`spec` with its best visible object edited (any visible one for small changes)."""
    if kind == UNCHANGED:
        return Change(spec, kind, 0.0, 0.0, False, "", "")
    shares = np.bincount(rendered.ids.ravel(), minlength=len(spec.objects) + 1)[1:] / rendered.ids.size
    target = int(rng.choice(np.flatnonzero(shares >= min(0.01, shares.max()))))
    old = spec.objects[target]
    new = edit(spec, kind, target, int(rng.integers(2**31)))
    area, after, recoloured = float(shares[target]), "", False
    if kind != "removed":
        after = new.objects[target].category
        area = max(area, float((render(new, SIDE).ids == target + 1).mean()))
        was, now = look(old.category, old.variant), look(after, new.objects[target].variant)
        recoloured = was.colour != now.colour
    distance = float(np.hypot(old.x - 0.5, old.y - old.size / 2 - 0.5) / np.hypot(0.5, 0.5))
    return Change(new, kind, area, distance, recoloured, old.category, after)


def clear_change(kind: str, start: int) -> tuple[int, SceneSpec, Change]:
    """The next scene from `start` on in which `kind` happens to a large object: nobody can miss it."""
    index = start
    while True:
        spec = sample_scene(WORLD, index)
        found = change(spec, render(spec, SIDE), kind, np.random.default_rng([WORLD, index]))
        if found.area >= CLEAR[kind] and found.rate() > SURE[kind]:
            return index, spec, found
        index += 1


def with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def explained(found: Change) -> str:
    if found.kind == "removed":
        return f"Yes: the {found.before} is gone. What the picture shows is no longer the same."
    return f"Yes: the {found.before} has become {with_article(found.after)}."


class Demo:
    """The table's rows and the files, as they are made."""

    def __init__(self, out: Path) -> None:
        self.out, self.rows = out, []
        (out / "images").mkdir(parents=True, exist_ok=True)

    def put(self, name: str, image: Bytes) -> str:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "WEBP", lossless=True, quality=75, method=4, exact=True)
        (self.out / "images" / f"{name}.webp").write_bytes(buffer.getvalue())
        return f"images/{name}.webp"

    def pair(
        self, kind: str, photo: str, model: str, reference: Bytes, candidate: Bytes, rate: float, edit_kind: str,
        truth: str = "", explanation: str = "",
    ) -> None:  # fmt: skip
        name = f"{model}_{photo}"
        self.rows.append({
            "pair_id": f"demo_{name}", "source_id": f"demo_{photo}", "reference": self.put(photo, reference),
            "candidate": self.put(name, candidate), "origin": model, "kind": kind, "truth": truth,
            "explanation": explanation, "true_rate": rate, "edit": edit_kind,
        })  # fmt: skip


def main_pairs(demo: Demo) -> None:
    """Two candidates of each photo, of two models; kinds of change dealt out at random."""
    rng = np.random.default_rng(WORLD)
    kinds = list(rng.permutation(KINDS))
    names = list(MODELS)
    for index in range(PHOTOS):
        spec = sample_scene(WORLD, index)
        rendered = render(spec, SIDE)
        for number in range(2):
            model = names[(2 * index + number + index // 2) % len(names)]
            found = change(spec, rendered, str(kinds.pop()), rng)
            strength = round(float(rng.uniform(0.3, 0.9) if found.kind == UNCHANGED else rng.uniform(0.1, 0.5)), 3)
            image = degrade(render(found.spec, SIDE).image, MODELS[model], strength, rng)
            rate = found.rate(MODELS[model], strength)
            demo.pair("main", f"{index:04d}", model, rendered.image, image, rate, found.kind)


def unchanged(photo_index: int, way: str, strength: float) -> tuple[Bytes, Bytes, float]:
    """A photo and a copy in which nothing was exchanged: cut a pixel or two further, coded again, or degraded."""
    spec = sample_scene(WORLD, photo_index)
    large = render(spec, SIDE + 4).image
    same = Question(UNCHANGED, degradation="none" if way == "crop" else way, strength=strength)
    reference = large[:SIDE, :SIDE]
    rng = np.random.default_rng([WORLD, photo_index])
    if way == "crop":
        return reference, large[2 : SIDE + 2, 1 : SIDE + 1], round(true_rate(same), 4)
    return reference, degrade(reference, way, strength, rng), round(true_rate(same), 4)


def known_pairs(demo: Demo) -> None:
    """Traps, training and worked examples; no two share a photo, and none is a photo of the main part."""
    index = 1000
    for number in range(TRAPS):
        kind = "trap"
        if number % 2:
            index, spec, found = clear_change("inter", index)
            images = render(spec, SIDE).image, render(found.spec, SIDE).image
            demo.pair(kind, f"{index:04d}", "trapyes", *images, found.rate(), "inter", "yes")
        else:
            before, after, rate = unchanged(index, "crop" if number % 4 else "jpeg", 0.05 if number % 4 == 0 else 0)
            demo.pair(kind, f"{index:04d}", "trapno", before, after, rate, UNCHANGED, "no")
        index += 1
    plans = [("yes", "inter"), ("no", "resample"), ("yes", "removed"), ("no", "tone"), ("no", "jpeg"), ("yes", "intra")]
    words = {
        "resample": "No: the right answer is about what is shown. One picture is blurrier, but everything is still there.",
        "tone": "No: light and colours differ a little, but the same things are in the same places.",
        "jpeg": "No: the blocks come from compression. Nothing was exchanged, added or removed.",
        "noise": "No: there is grain on one of them, and nothing else is different.",
        "sharpen": "No: edges are harder in one of them, but every object is the same.",
    }
    for kind in ("training", "example"):
        for truth, what in plans:
            model = f"{kind}{truth}"
            if truth == "yes":
                index, spec, found = clear_change(what, index)
                images = render(spec, SIDE).image, render(found.spec, SIDE).image
                demo.pair(kind, f"{index:04d}", model, *images, found.rate(), what, truth, explained(found))
            else:
                what = {"tone": "sharpen"}.get(what, what) if kind == "example" else what
                before, after, rate = unchanged(index, what, 0.5)
                demo.pair(kind, f"{index:04d}", model, before, after, rate, UNCHANGED, truth, words[what])
            index += 1


def generate(out: Path) -> Iterator[str]:
    for old in (out / "images").glob("*.webp"):
        old.unlink()
    demo = Demo(out)
    main_pairs(demo)
    known_pairs(demo)
    frame = pd.DataFrame(demo.rows)
    write_pairs(PairTable(frame, out, str(out / "pairs.csv")), out / "pairs.csv")
    for kind, part in frame.groupby("kind", sort=False):
        rates = " ".join(f"{rate:.2f}" for rate in sorted(part["true_rate"]))
        yield f"{kind}: {len(part)} pairs, {part['source_id'].nunique()} photos; true rates {rates}"
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    yield f"{len(list((out / 'images').iterdir()))} images, {size / 1e6:.2f} MB in {out}"


if __name__ == "__main__":
    for line in generate(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT):
        print(line)
