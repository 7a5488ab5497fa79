"""A small captioner for the synthetic scenes; needs no download."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from models.bundled import ASSETS, CellFeatures, NetworkFile, cell_features
from models.captioners.contract import Captioner
from models.hub import check_positive, device_of
from registry import CAPTIONERS
from semfid.io.images import resize_image, to_planes

WEIGHTS = ASSETS / "captioners" / "scenes_captioner.safetensors"
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


@dataclass(frozen=True)
class Words:
    """The words of a caption.

    Attributes:
        things, plurals: names of the classes.
        colours: names.
        places: phrases, such as ``on a beach``.
    """

    things: tuple[str, ...]
    plurals: tuple[str, ...]
    colours: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def of(cls, facts: Mapping[str, str]) -> Words:
        """As the metadata of a file list them."""
        return cls(*(tuple(json.loads(facts[key])) for key in ("things", "plurals", "colours", "places")))

    def sentence(self, found: Sequence[tuple[int, int]], place: int) -> str:
        """Things (class, colour) in their order and a place; things of one class are counted, and then have no colour."""
        counts = Counter(thing for thing, _ in found)
        colours = dict(reversed(found))
        parts = []
        for thing, count in counts.items():
            if count > 1:
                parts.append(f"{_NUMBERS.get(count, 'many')} {self.plurals[thing]}")
            else:
                words = f"{self.colours[colours[thing]]} {self.things[thing]}"
                parts.append(f"{'an' if words[0] in 'aeiou' else 'a'} {words}")
        listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
        return f"{listed or 'nothing'} {self.places[place]}"


@dataclass(frozen=True)
class Seen:
    """What the network predicts for every cell of B images.

    Attributes:
        centres: (B, things, h, w) logits: the middle of a thing of that class is here.
        colours: (B, colours, h, w) logits of the thing here.
        feet: (B, h, w) y of the bottom of the object here, 0 (top) .. 1.
        places: (B, places) logits.
    """

    centres: Tensor
    colours: Tensor
    feet: Tensor
    places: Tensor


class FindThings(nn.Module):
    """Objects as points (CenterNet): where their middles are, of which class and colour, and the y of their bottom."""

    def __init__(self, cells: CellFeatures, width: int, hidden: int, things: int, colours: int, places: int) -> None:
        super().__init__()
        self.counts = [things, colours, 1]
        self.cells = cells
        self.around = nn.Sequential(
            nn.Conv2d(width, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
        )
        self.say = nn.Conv2d(hidden, sum(self.counts), 1)
        self.place = nn.Linear(width, places)

    def forward(self, images: Tensor) -> Seen:
        """Of (B, 3, S, S) in [0, 1]."""
        cells = self.cells(images)  # (B, width, h, w)
        centres, colours, feet = self.say(self.around(cells)).split(self.counts, dim=1)
        return Seen(centres, colours, feet[:, 0].sigmoid(), self.place(cells.mean(dim=(2, 3))))


def read_things(seen: Seen, least: float) -> list[tuple[list[tuple[int, int]], int]]:
    """For each image the things (class, colour), nearest first, and the place.

    A thing is where a cell is surer of a class than its four neighbours are of any, and surer than `least`.
    """
    best, kinds = seen.centres.sigmoid().max(dim=1)  # (B, h, w)
    beside = F.pad(best, (1, 1, 1, 1))
    around = torch.stack([beside[:, :-2, 1:-1], beside[:, 2:, 1:-1], beside[:, 1:-1, :-2], beside[:, 1:-1, 2:]])
    tops = (best >= least) & (best >= around.amax(dim=0))
    hues, places = seen.colours.argmax(dim=1), seen.places.argmax(dim=1).tolist()
    found: list[list[tuple[float, int, int]]] = [[] for _ in places]
    for row, y, x in tops.nonzero().tolist():
        found[row].append((float(seen.feet[row, y, x]), int(kinds[row, y, x]), int(hues[row, y, x])))
    ordered = [sorted(one, key=lambda thing: -thing[0]) for one in found]
    return [([(kind, hue) for _, kind, hue in one], place) for one, place in zip(ordered, places, strict=True)]


@CAPTIONERS.register(
    "scenes_captioner",
    summary="a small captioner trained on rendered scenes; comes with the repository, no download",
    source="objects as points: arXiv 1904.07850",
)
class ScenesCaptioner(Captioner):
    """Describes a scene in the words of the synthetic scenes: objects, colours and place, ``a red car and two dogs on a street``.

    Objects are listed nearest first. Captions of other pictures are meaningless. The prompt is ignored.

    Args:
        weights: a file of ``tools/make_scenes_captioner.py``; the one that comes with the repository if left out.
        batch_size: images at a time.
        device: auto, cpu, cuda, cuda:1, ...
    """

    def __init__(self, weights: str | None = None, batch_size: int = 32, device: str = "cpu") -> None:
        check_positive("captioner: scenes_captioner", batch_size=batch_size)
        self._device = device_of("captioner: scenes_captioner", device)
        self._file = NetworkFile.find(weights or WEIGHTS, "scenes_captioner")
        self.identity = f"scenes_captioner-1-{self._file.digest}"
        self.batch_size = batch_size
        self._net: FindThings | None = None

    def release(self) -> None:
        self._net = None

    @torch.inference_mode()
    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        facts = self._file.facts
        if self._net is None:
            net = build_net(facts)
            self._file.load(net=net)
            self._net = net.to(self._device)
        size, words = int(facts["image_size"]), Words.of(facts)
        planes = [torch.from_numpy(to_planes(resize_image(image, size, "squash"))) for image in images]
        seen = self._net(torch.stack(planes).to(self._device).float() / 255.0)
        return [words.sentence(*one) for one in read_things(seen, float(facts["least"]))]


def build_net(facts: Mapping[str, str]) -> FindThings:
    """Untrained, as the metadata of a file describe it."""
    words, width, hidden = Words.of(facts), int(facts["width"]), int(facts["hidden"])
    counts = len(words.things), len(words.colours), len(words.places)
    return FindThings(cell_features(facts), width, hidden, *counts)
