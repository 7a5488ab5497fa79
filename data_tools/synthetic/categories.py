"""The classes of the synthetic scenes, COCO-style: an id, a name and a supercategory each."""

from __future__ import annotations

from dataclasses import dataclass

from semfid.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Category:
    """One class.

    Attributes:
        id: 1 .. n, as in the `categories` of a COCO annotation file.
        name: singular noun, as captions use it.
        supercategory: the group that `intra` edits stay within.
    """

    id: int
    name: str
    supercategory: str


_NAMES = {
    "vehicle": ("car", "bus", "bicycle", "boat"),
    "animal": ("cat", "dog", "bird", "sheep", "elephant"),
    "food": ("apple", "banana", "cake", "ice cream", "hamburger"),
    "household": ("chair", "cup", "lamp", "clock"),
    "plant": ("tree", "flower", "cactus"),
}

CATEGORIES: tuple[Category, ...] = tuple(
    Category(number, name, supercategory)
    for number, (supercategory, name) in enumerate(
        ((supercategory, name) for supercategory, names in _NAMES.items() for name in names), start=1
    )
)
BY_NAME: dict[str, Category] = {category.name: category for category in CATEGORIES}
SUPERCATEGORIES: tuple[str, ...] = tuple(_NAMES)


def category(name: str) -> Category:
    """The category of this name.

    Raises:
        UserError: there is none; the text lists near misses.
    """
    if name not in BY_NAME:
        raise UserError(f"no class '{name}'{did_you_mean(name, BY_NAME)}; classes: {', '.join(BY_NAME)}")
    return BY_NAME[name]


def siblings(name: str) -> tuple[str, ...]:
    """The other classes of the same supercategory."""
    group = category(name).supercategory
    return tuple(other.name for other in CATEGORIES if other.supercategory == group and other.name != name)


def strangers(name: str) -> tuple[str, ...]:
    """The classes of all other supercategories."""
    group = category(name).supercategory
    return tuple(other.name for other in CATEGORIES if other.supercategory != group)
