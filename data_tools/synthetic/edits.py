"""Edits of one object, which leave the rest of the scene as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_tools.synthetic.appearance import look
from data_tools.synthetic.categories import siblings, strangers
from data_tools.synthetic.scene_spec import ObjectSpec, SceneSpec
from semfid.errors import UserError, did_you_mean

EDITS: tuple[str, ...] = ("same_class", "intra", "inter", "removed")
UNCHANGED = "unchanged"


def edit(spec: SceneSpec, kind: str, object_index: int, seed: int) -> SceneSpec:
    """The scene with one object exchanged or taken away.

    Args:
        kind: ``same_class``: another instance of the class, different in colour or shape; ``intra``: another class of
            the supercategory; ``inter``: a class of another supercategory; ``removed``: gone, the background shows.
            Place and size of the box stay.
        object_index: 0 .. len(spec.objects) - 1.
        seed: chooses the new class and instance; 0 or more.

    Raises:
        UserError: unknown kind, no such object, or a negative seed.
    """
    if kind not in EDITS:
        raise UserError(f"no edit '{kind}'{did_you_mean(kind, EDITS)}; edits: {', '.join(EDITS)}")
    if not 0 <= object_index < len(spec.objects):
        raise UserError(f"object_index={object_index}, but the scene has {len(spec.objects)} objects, counted from 0")
    if seed < 0:
        raise UserError(f"edit seed {seed} must be 0 or more")
    before, after = spec.objects[:object_index], spec.objects[object_index + 1 :]
    if kind == "removed":
        return replace(spec, objects=before + after)
    old = spec.objects[object_index]
    rng = np.random.default_rng([seed, EDITS.index(kind), object_index])
    if kind == "same_class":
        new = replace(old, variant=_other_variant(old, rng), mirror=bool(rng.random() < 0.5))
    else:
        choices = siblings(old.category) if kind == "intra" else strangers(old.category)
        name = choices[int(rng.integers(len(choices)))]
        new = replace(old, category=name, variant=int(rng.integers(2**31)), mirror=bool(rng.random() < 0.5))
    return replace(spec, objects=(*before, new, *after))


def _other_variant(old: ObjectSpec, rng: np.random.Generator) -> int:
    """An instance that a viewer can tell from the old one."""
    was = look(old.category, old.variant)
    while True:
        variant = int(rng.integers(2**31))
        now = look(old.category, variant)
        if now.colour != was.colour or now.shape != was.shape:
            return variant
