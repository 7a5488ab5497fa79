"""semfid: does a super-resolved image still mean the same as the photo it came from?

from semfid import SemanticDifference, SemanticDifferenceLoss
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semfid.loss import SemanticDifferenceLoss as SemanticDifferenceLoss
    from semfid.metric import SemanticDifference as SemanticDifference
    from semfid.runtime.errors import ScoringError as ScoringError

__version__ = "0.1.0"
__all__ = ["ScoringError", "SemanticDifference", "SemanticDifferenceLoss"]

_PLACES = {
    "SemanticDifference": "semfid.metric",
    "SemanticDifferenceLoss": "semfid.loss",
    "ScoringError": "semfid.runtime.errors",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the command's help should not wait for torch."""
    if name in _PLACES:
        import importlib

        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'semfid' has no attribute '{name}'")
