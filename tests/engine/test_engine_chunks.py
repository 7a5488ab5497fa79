"""The plan of extraction: every pair once with its images at hand, whole groups of pairs on one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.training.chunks import Chunk, NamedPair, plan_chunks, share_of_pairs


@st.composite
def _pair_sets(draw: st.DrawFn) -> list[NamedPair]:
    images = [f"{i:02d}" for i in range(draw(st.integers(1, 14)))]
    pairs = draw(st.sets(st.tuples(st.sampled_from(images), st.sampled_from(images)), min_size=1, max_size=40))
    return [(row, x, y) for row, (x, y) in enumerate(draw(st.permutations(sorted(pairs))))]


def _named(*names: str) -> list[NamedPair]:
    return [(row, *name.split("-")) for row, name in enumerate(names)]  # type: ignore[misc]


def _walk(chunks: list[Chunk]) -> Iterator[tuple[NamedPair, set[str]]]:
    """Pairs in the order of their emission, each with the images at hand then."""
    held: set[str] = set()
    for chunk in chunks:
        assert not held & set(chunk.new), "an image that is at hand is decoded again"
        assert len(set(chunk.new)) == len(chunk.new)
        held |= set(chunk.new)
        for pair in chunk.pairs:
            yield pair, held
        assert chunk.carry <= held, "what is not there cannot be carried"
        held = set(chunk.carry)


@given(_pair_sets(), st.integers(2, 5))
def test_plan_emits_every_pair_once_with_its_images_at_hand(pairs: list[NamedPair], size: int) -> None:
    chunks = plan_chunks(pairs, size)
    walked = list(_walk(chunks))
    assert Counter(pair for pair, _ in walked) == Counter(pairs)
    for (_, x, y), held in walked:
        assert {x, y} <= held
    for chunk in chunks:
        assert chunk.new or chunk.pairs
        assert len(chunk.new) <= size and len(chunk.carry) <= size + 1, "memory must not grow with the set"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(2, 5))
def test_plan_decodes_each_image_once_where_candidates_are_compared_with_photos(each: list[int], size: int) -> None:
    pairs = [(0, f"r{i}", f"c{i}_{k}") for i, count in enumerate(each) for k in range(count)]
    new = Counter(image for chunk in plan_chunks(pairs, size) for image in chunk.new)
    assert set(new.values()) == {1}
    assert set(new) == {image for _, *images in pairs for image in images}


WORLDS = [1, 2, 3, 5]
FIXED = {
    "a middle process once planned to carry an image that it never had": _named("00-03", "00-01", "00-02", "01-04"),
    "one pair": _named("a-b"),
    "an image with itself": _named("a-a", "b-b", "c-c"),
    "one photo": _named("r-c0", "r-c1", "r-c2", "c0-c1", "c1-c2"),
    "a chain": _named("a-b", "b-c", "c-d", "d-e", "e-f"),
    "photos of different sizes": _named(*(f"r{i}-c{i}{k}" for i in range(7) for k in range(1 + i % 4))),
}


def _check_shares(pairs: list[NamedPair], size: int, world: int) -> None:
    emitted: Counter[NamedPair] = Counter()
    decoded: Counter[str] = Counter()
    for rank in range(world):
        chunks = plan_chunks(share_of_pairs(pairs, rank, world), size)
        for (row, x, y), held in _walk(chunks):
            assert {x, y} <= held
            emitted[row, x, y] += 1
        decoded.update({image for chunk in chunks for image in chunk.new})
    assert emitted == Counter(pairs)
    assert set(decoded.values()) == {1}, "no image is needed on two processes"


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("size", [2, 3, 32])
@pytest.mark.parametrize("pairs", FIXED.values(), ids=FIXED.keys())
def test_shares_of_fixed_pairs_are_complete(pairs: list[NamedPair], size: int, world: int) -> None:
    _check_shares(pairs, size, world)


@given(_pair_sets(), st.integers(2, 5), st.sampled_from(WORLDS))
@example(_named("00-03", "00-01", "00-02", "01-04"), 2, 3)
def test_shares_of_processes_are_complete(pairs: list[NamedPair], size: int, world: int) -> None:
    _check_shares(pairs, size, world)


@pytest.mark.parametrize("world", WORLDS)
def test_shares_are_even_where_groups_are_small(world: int) -> None:
    pairs = _named(*(f"r{i}-c{i}{k}" for i in range(40) for k in range(1 + i % 4)))
    images = [len({image for _, *pair in share_of_pairs(pairs, r, world) for image in pair}) for r in range(world)]
    assert sum(images) == 40 + len(pairs)
    assert max(images) - min(images) <= 5, "no more than the largest group"


def test_a_process_without_a_group_has_nothing_to_do() -> None:
    shares = [share_of_pairs(FIXED["one photo"], rank, 3) for rank in range(3)]
    assert [len(share) for share in shares] == [5, 0, 0] and plan_chunks([], 4) == []


class _Salted(str):
    """A string whose hash is another one in another process, as Python's is."""

    __slots__ = ()
    salt = 0

    def __hash__(self) -> int:
        return hash((self.salt, str(self)))


def test_plan_does_not_depend_on_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of a set of strings differs between processes; what a run computes in which pass must not."""
    names = np.random.default_rng(1).integers(0, 60, (300, 2))
    plans = []
    for salt in range(4):
        monkeypatch.setattr(_Salted, "salt", salt)
        chunks = plan_chunks([(row, _Salted(x), _Salted(y)) for row, (x, y) in enumerate(names.tolist())], 4)
        plans.append([(list(chunk.new), list(chunk.pairs), sorted(chunk.carry)) for chunk in chunks])
    assert all(plan == plans[0] for plan in plans)
