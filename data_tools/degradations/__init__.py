"""Small, degraded versions of photos for super-resolution to restore: strengths, seeds, and a record of every draw.

A file dropped into this folder that registers a `Degradation` is available by name everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_tools.degradations.contract import Degradation as Degradation
from data_tools.degradations.contract import crop_to_multiple as crop_to_multiple
from data_tools.degradations.contract import degraded_like as degraded_like
from data_tools.degradations.contract import generator_of as generator_of
from data_tools.degradations.contract import pad_to_multiple as pad_to_multiple
from data_tools.degradations.steps import Record as Record
from data_tools.degradations.steps import carry_out as carry_out
from registry import DEGRADATIONS


def build_degradation(name: str, keywords: Mapping[str, Any]) -> Degradation:
    """Build a registered degradation and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: a strength or factor that cannot be.
    """
    return DEGRADATIONS.build_as(Degradation, name, keywords)  # type: ignore[type-abstract]
