"""The fault of one image or one pair."""

from __future__ import annotations

from semfid.errors import UserError


class LabelError(UserError):
    """One image or pair that cannot be labelled; it becomes a row of the result and does not stop the others."""
