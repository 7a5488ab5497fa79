"""What an edit is asked, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.coco import Instance
from data_tools.builders.core.errors import UnitError
from data_tools.builders.edits.reading import Line
from data_tools.builders.edits.scene import Scene
from data_tools.builders.inpainters.contract import Inpainter
from data_tools.builders.inpainters.object_bank import ObjectBank

NO_LEVEL = "none"
Pool = Literal["nothing", "plain", "hard", "any", "text"]


@dataclass(frozen=True)
class Tools:
    """What all edits of a set share.

    Attributes:
        plain, hard: the inpainters that put a donor in an object's place.
        supercategory: by category.
        hard_area: shares of the photo that a hard edit may cover.
    """

    donors: ObjectBank
    plain: Inpainter
    hard: Inpainter
    supercategory: Mapping[str, str]
    hard_area: tuple[float, float]


@dataclass(frozen=True)
class Task:
    """One edit.

    Attributes:
        instance: the object it is about; None for edits of no object.
        hard: small and matched in colour.
        strength: 0 .. 1, of degradations.
        rng: all draws come from it.
        line: the text it is about; None for edits of no text.
    """

    scene: Scene
    instance: Instance | None
    hard: bool
    strength: float
    rng: np.random.Generator
    line: Line | None = None

    @property
    def object(self) -> Instance:
        """The object; for edits that have one."""
        if self.instance is None:
            raise UnitError("an edit of an object was asked without one")
        return self.instance

    @property
    def text_line(self) -> Line:
        """The line of text; for edits that have one."""
        if self.line is None:
            raise UnitError("an edit of text was asked without one")
        return self.line

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) of the object."""
        return self.scene.masks[self.object.id]


@dataclass(frozen=True)
class Edit:
    """The result.

    Attributes:
        picture: (H, W, 3) RGB uint8; the scene's to the bit where `touched` is False.
        touched: (H, W) whatever the edit may have altered.
        changed: (H, W) where the meaning differs; a part of `touched`, empty for edits that keep the meaning.
        level: of an exchange; ``none`` for all else.
        facts: provenance, for columns of the table.
    """

    picture: NDArray[np.uint8]
    touched: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    level: str = NO_LEVEL
    facts: Mapping[str, Any] = field(default_factory=dict)


class NotPossible(UnitError):
    """An edit that this photo does not allow; it becomes a row of the rejects, and is no error."""


Make = Callable[[Task, Tools], Edit]


@dataclass(frozen=True)
class Kind:
    """A kind of edit.

    Attributes:
        changes: whether the meaning differs afterwards.
        pool: what it takes: objects of the filters (plain), the small ones of hard edits, both (any), a line of text, or nothing.
        hard: small and matched in colour.
        summary: for `docs` and messages.
    """

    name: str
    changes: bool
    pool: Pool
    make: Make
    summary: str
    hard: bool = False
