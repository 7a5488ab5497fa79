"""Edits change exactly what they say."""

from __future__ import annotations

import numpy as np
import pytest

from data_tools.synthetic import EDITS, ObjectSpec, SceneSpec, edit, render, sample_scene
from data_tools.synthetic.appearance import look
from data_tools.synthetic.categories import BY_NAME
from semfid.errors import UserError


def cases() -> list[tuple[SceneSpec, int]]:
    return [(spec, k) for spec in (sample_scene(3, index) for index in range(25)) for k in range(len(spec.objects))]


@pytest.mark.parametrize("kind", EDITS)
def test_rest_of_the_scene_stays(kind: str) -> None:
    for spec, k in cases():
        changed = edit(spec, kind, k, seed=k)
        assert (changed.background, changed.variant) == (spec.background, spec.variant)
        others = spec.objects[:k] + spec.objects[k + 1 :]
        if kind == "removed":
            assert changed.objects == others
            continue
        old, new = spec.objects[k], changed.objects[k]
        assert changed.objects[:k] + changed.objects[k + 1 :] == others
        assert (new.x, new.y, new.size) == (old.x, old.y, old.size)
        same_class = new.category == old.category
        same_group = BY_NAME[new.category].supercategory == BY_NAME[old.category].supercategory
        assert (same_class, same_group) == {
            "same_class": (True, True), "intra": (False, True), "inter": (False, False),
        }[kind]  # fmt: skip
        if kind == "same_class":
            a, b = look(old.category, old.variant), look(new.category, new.variant)
            assert a.colour != b.colour or a.shape != b.shape


@pytest.mark.parametrize("kind", EDITS)
def test_pixels_change_only_at_the_object(kind: str) -> None:
    for spec, k in cases()[:30]:
        one = spec.objects[k]
        before, after = render(spec), render(edit(spec, kind, k, seed=11))
        differs = (before.image != after.image).any(axis=2)
        rows, columns = np.nonzero(differs)
        assert rows.size > 20
        margin = 0.12 * one.size * 128 + 2
        assert rows.min() >= (one.y - one.size) * 128 - margin and rows.max() <= one.y * 128 + margin
        assert columns.min() >= (one.x - one.size / 2) * 128 - margin
        assert columns.max() <= (one.x + one.size / 2) * 128 + margin
        visible = before.ids == k + 1
        if kind == "removed":  # every pixel of the object is drawn anew
            assert differs[visible].mean() > 0.85


def test_same_arguments_same_edit() -> None:
    spec = sample_scene(0, 4)
    assert edit(spec, "inter", 1, 5) == edit(spec, "inter", 1, 5)
    assert len({edit(spec, "inter", 1, seed).objects[1].category for seed in range(40)}) > 5


def test_errors() -> None:
    spec = SceneSpec("room", 1, (ObjectSpec("cat", 0.5, 0.9, 0.4, 1, False),))
    with pytest.raises(UserError, match="no edit 'intr'; did you mean"):
        edit(spec, "intr", 0, 0)
    with pytest.raises(UserError, match="has 1 objects"):
        edit(spec, "removed", 1, 0)
    with pytest.raises(UserError, match="0 or more"):
        edit(spec, "removed", 0, -1)
