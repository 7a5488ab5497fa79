"""Pair sets of synthetic scenes: references, candidates, change masks and the votes of simulated raters.

    OUT/references/000012.png      scene 12
    OUT/candidates/000012_3.png    its candidate 3: an edit or none, then degradations or none
    OUT/maps/000012_3.png          255 where an object was exchanged or removed; none.png where the meaning stays
    OUT/pairs.csv                  the pair table, written last
    OUT/scenes.json                the settings

About 38 % of the candidates are only degraded, and more strongly than edited ones: as in super-resolution, the pair
with the lower PSNR is often the one that still means the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_tools.synthetic.appearance import look
from data_tools.synthetic.captions import caption
from data_tools.synthetic.degradations import DEGRADATIONS, NONE, degrade
from data_tools.synthetic.edits import EDITS, UNCHANGED, edit
from data_tools.synthetic.raters import Question, panel, true_rate
from data_tools.synthetic.render import Rendered, render
from data_tools.synthetic.sampling import CANDIDATE, sample_scene
from data_tools.synthetic.scene_spec import SceneSpec
from data_tools.synthetic.store import SceneSetConfig, check_config, open_folder, png, put
from semfid.io.pair_table import PairTable, write_pairs
from semfid.progress import Advance

TABLE = "pairs.csv"
_KINDS = (UNCHANGED, *EDITS)
_SHARES = np.cumsum([0.38, 0.15, 0.17, 0.16, 0.14])
_LEAST_AREA = 0.006  # share of the image; smaller remains of hidden objects are not edited
_SOFT = {"blur", "resample"}
_NO_MAP = "maps/none.png"

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """One pair in memory.

    Attributes:
        reference, candidate: (size, size, 3) uint8.
        mask: (size, size) uint8, 255 where the meaning changed.
        row: its row of the pair table.
        changed: the candidate's scene, before it was degraded; None where only the files are known.
    """

    reference: Bytes
    candidate: Bytes
    mask: Bytes
    row: dict[str, object]
    changed: SceneSpec | None = None


def write_pair_set(out: Path, config: SceneSetConfig, progress: Advance | None = None) -> Path:
    """Write a pair set, or what is missing of it.

    Args:
        out: folder, made if need be. A finished one of the same settings is left as it is.
        progress: called as ``progress(done, total)`` after each scene.

    Returns:
        Path of the pair table.

    Raises:
        UserError: a bad setting, a folder that holds something else, a full disk.
    """
    out = Path(out)
    if open_folder(out, "pairs", config, TABLE):
        return out / TABLE
    rows = []
    _put_new(out / _NO_MAP, np.zeros((config.size, config.size), dtype=np.uint8))
    for done, index in enumerate(range(config.first, config.first + config.scenes), start=1):
        for pair in scene_pairs(config, index):
            _put_new(out / str(pair.row["reference"]), pair.reference)
            _put_new(out / str(pair.row["candidate"]), pair.candidate)
            if pair.row["map"] != _NO_MAP:
                _put_new(out / str(pair.row["map"]), pair.mask)
            rows.append(pair.row)
        if progress is not None:
            progress(done, config.scenes)
    write_pairs(PairTable(pd.DataFrame(rows), out, str(out / TABLE)), out / TABLE)
    return out / TABLE


def scene_pairs(config: SceneSetConfig, index: int) -> list[Pair]:
    """The pairs of one scene, in memory; what `write_pair_set` writes.

    Raises:
        UserError: a bad setting.
    """
    check_config(config)
    spec = sample_scene(config.seed, index)
    rendered = render(spec, config.size)
    return [_pair(config, index, number, spec, rendered) for number in range(config.candidates_per_scene)]


def _pair(config: SceneSetConfig, index: int, number: int, spec: SceneSpec, rendered: Rendered) -> Pair:
    rng = np.random.default_rng([config.seed, index, CANDIDATE, number])
    kind = _KINDS[min(int(np.searchsorted(_SHARES, rng.random(), side="right")), len(_KINDS) - 1)]
    shares = np.bincount(rendered.ids.ravel(), minlength=len(spec.objects) + 1)[1:] / rendered.ids.size
    degradation, strength = _draw_degradation(kind, rng)
    mask = np.zeros(rendered.ids.shape, dtype=np.uint8)
    changed, before, after, area, distance, recoloured = spec, "", "", 0.0, 0.0, False
    image = rendered.image
    if kind != UNCHANGED:
        visible = np.flatnonzero(shares >= min(_LEAST_AREA, shares.max()))
        target = int(rng.choice(visible))
        old = spec.objects[target]
        changed = edit(spec, kind, target, int(rng.integers(2**31)))
        drawn = render(changed, config.size)
        image, area, before = drawn.image, float(shares[target]), old.category
        distance = math.hypot(old.x - 0.5, old.y - old.size / 2 - 0.5) / math.hypot(0.5, 0.5)
        touched = rendered.ids == target + 1
        if kind != "removed":
            new = changed.objects[target]
            after = new.category
            recoloured = look(before, old.variant).colour != look(after, new.variant).colour
            touched |= drawn.ids == target + 1
            area = max(area, float((drawn.ids == target + 1).mean()))
        if kind != "same_class":
            mask[touched] = 255
    question = Question(kind, area, distance, recoloured, degradation, strength)
    candidate = degrade(image, degradation, strength, rng)
    yes = panel(question, config.votes, rng)
    name = f"{index:06d}_{number}"
    row: dict[str, object] = {
        "pair_id": f"scene_{config.seed}_{name}",
        "source_id": f"scene_{config.seed}_{index:06d}",
        "reference": f"references/{index:06d}.png",
        "candidate": f"candidates/{name}.png",
        "origin": kind,
        "difference": yes / config.votes,
        "yes_votes": yes,
        "votes": config.votes,
        "map": f"maps/{name}.png" if mask.any() else _NO_MAP,
        "edit": kind,
        "category_before": before,
        "category_after": after,
        "degradation": degradation,
        "strength": round(strength, 4),
        "area": round(area, 5),
        "true_rate": round(true_rate(question), 5),
        "reference_caption": caption(spec),
        "candidate_caption": caption(changed),
    }
    return Pair(rendered.image, candidate, mask, row, changed)


def _draw_degradation(kind: str, rng: np.random.Generator) -> tuple[str, float]:
    """Name and strength: nearly always and often strongly where nothing was edited, mildly or not at all elsewhere."""
    draw, level, single, *order = rng.random(3 + len(DEGRADATIONS)).tolist()
    order[DEGRADATIONS.index("tone")] *= 2  # the commonest one, and the one that PSNR minds most
    first, second, third = (DEGRADATIONS[k] for k in np.argsort(order)[::-1][:3])
    if {first, second} == _SOFT:  # together they would leave nothing to recognise
        second = third
    if kind == UNCHANGED:
        name = first if single < 0.45 else f"{first}+{second}"
        return name, (0.03 + 0.12 * level if draw < 0.12 else 0.35 + 0.65 * level)
    if draw < 0.3:
        return NONE, 0.0
    name = first if single < 0.6 else f"{first}+{second}"
    return name, (0.1 + 0.3 * level if draw < 0.65 else 0.3 + 0.6 * level)


def _put_new(path: Path, image: Bytes) -> None:
    if not path.is_file():  # files appear whole, so one that is there needs no second writing
        put(path, png(image))
