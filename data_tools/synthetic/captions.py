"""One sentence about a scene: what is there, in which colour, and where."""

from __future__ import annotations

from collections import Counter

from data_tools.synthetic.appearance import look
from data_tools.synthetic.backgrounds import BACKGROUNDS
from data_tools.synthetic.scene_spec import SceneSpec

_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
_PLURALS = {"bus": "buses", "sheep": "sheep", "cactus": "cacti"}


def caption(spec: SceneSpec) -> str:
    """For example ``a red car, two dogs and a tree on a city street at night``; nearest objects come first."""
    counts = Counter(one.category for one in reversed(spec.objects))
    parts = []
    for name, count in counts.items():
        if count > 1:
            parts.append(f"{_NUMBERS[count]} {_PLURALS.get(name, name + 's')}")
        else:
            (one,) = (one for one in spec.objects if one.category == name)
            words = f"{look(name, one.variant).colour} {name}"
            parts.append(f"{'an' if words[0] in 'aeiou' else 'a'} {words}")
    things = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "nothing"
    return f"{things} {BACKGROUNDS[spec.background].phrase}"
