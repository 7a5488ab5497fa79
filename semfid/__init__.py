"""semfid: does a super-resolved image still mean the same as the photo it came from?

from semfid import SemanticDifference, SemanticDifferenceLoss, score
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semfid.errors import UserError as UserError
    from semfid.scoring.load import load_scorer as load_scorer
    from semfid.scoring.loss import SemanticDifferenceLoss as SemanticDifferenceLoss
    from semfid.scoring.metric import SemanticDifference as SemanticDifference
    from semfid.scoring.score import ScoreTable as ScoreTable
    from semfid.scoring.score import score as score

__version__ = "0.2.0"
__all__ = ["ScoreTable", "SemanticDifference", "SemanticDifferenceLoss", "UserError", "load_scorer", "score"]

_PLACES = {
    "SemanticDifference": "semfid.scoring.metric",
    "SemanticDifferenceLoss": "semfid.scoring.loss",
    "ScoreTable": "semfid.scoring.score",
    "score": "semfid.scoring.score",
    "UserError": "semfid.errors",
    "ScoringError": "semfid.errors",  # the name until 0.1
    "load_scorer": "semfid.scoring.load",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the command's help should not wait for torch."""
    if name in _PLACES:
        import importlib

        if name == "ScoringError":
            import warnings

            warnings.warn("semfid.ScoringError is now semfid.UserError", DeprecationWarning, stacklevel=2)
            name = "UserError"
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'semfid' has no attribute '{name}'")
