"""Which pairs go through a frozen backbone when, and on which process.

Pairs that share an image, directly or through others, are a *group*. A process takes whole groups, so no image is needed
on two of them, and plans its own pairs in *chunks*: runs of pairs with at most so many images that are not at hand.
Features of images that the next chunk needs again are carried over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

NamedPair = tuple[int, str, str]  # row, reference, candidate; images are named by their content


@dataclass(frozen=True)
class Chunk:
    """A run of pairs: the images to decode and push through the backbone, and which to carry to the next chunk."""

    new: tuple[str, ...]
    pairs: tuple[NamedPair, ...]
    carry: frozenset[str]


def plan_chunks(pairs: Sequence[NamedPair], batch_size: int) -> list[Chunk]:
    """Cut (row, reference, candidate) into chunks.

    Args:
        pairs: images named by content, so that equal files count as one.
        batch_size: new images per chunk, at least 2.
    """
    batch_size = max(2, batch_size)
    group = _groups(pairs)  # candidates that are compared with each other come soon after their photo
    ordered = sorted(pairs, key=lambda pair: (group[pair[1]], pair[1], pair[2], pair[0]))
    remaining = Counter(image for _, x, y in ordered for image in {x, y})
    chunks: list[Chunk] = []
    held: dict[str, None] = {}  # in order: a set's would be another one in every process
    at = 0
    while at < len(ordered):
        new: dict[str, None] = {}
        taken: list[NamedPair] = []
        while at < len(ordered):
            fresh = [image for image in dict.fromkeys(ordered[at][1:]) if image not in held and image not in new]
            if taken and len(new) + len(fresh) > batch_size:
                break
            new.update(dict.fromkeys(fresh))
            taken.append(ordered[at])
            remaining.subtract(set(ordered[at][1:]))
            at += 1
        # images still needed: the reference of the coming pairs, and candidates that are compared with each other;
        # a bounded number is carried, the rest is computed again
        wanted = [image for image in (*new, *held) if remaining[image] > 0]
        held = dict.fromkeys(wanted[-batch_size:])
        if at < len(ordered) and ordered[at][1] in wanted:
            held[ordered[at][1]] = None
        chunks.append(Chunk(tuple(new), tuple(taken), frozenset(held)))
    return chunks


def share_of_pairs(pairs: Sequence[NamedPair], rank: int, world: int) -> list[NamedPair]:
    """The pairs of one of several processes: whole groups, the largest first, each to the process with the fewest images.

    Every process must be given the same pairs in the same order. A process gets none where there are fewer groups than
    processes.

    Args:
        rank: of this process, from 0.
        world: number of processes.
    """
    if world == 1:
        return list(pairs)
    group = _groups(pairs)
    sizes = Counter(group.values())  # images, which are the work
    load = [0] * world
    owner: dict[str, int] = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        owner[name] = load.index(min(load))
        load[owner[name]] += sizes[name]
    return [pair for pair in pairs if owner[group[pair[1]]] == rank]


def _groups(pairs: Sequence[NamedPair]) -> dict[str, str]:
    """For each image the name of its group: images that pairs join, directly or through others."""
    parent: dict[str, str] = {}

    def root(image: str) -> str:
        while parent.setdefault(image, image) != image:
            parent[image] = parent[parent[image]]
            image = parent[image]
        return image

    for _, x, y in pairs:
        parent[root(x)] = root(y)
    return {image: root(image) for image in list(parent)}
