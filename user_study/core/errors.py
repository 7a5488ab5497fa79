"""What a researcher can do wrong; the text names the fix."""

from __future__ import annotations

from semfid.errors import UserError


class StudyError(UserError):
    """A study, an import or a setting that cannot be used."""
