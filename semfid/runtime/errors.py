"""The runtime's own kind of user error (the clone's is `registry.UserError`)."""

from __future__ import annotations


class ScoringError(Exception):
    """A mistake its user can mend: one line that names the place and the fix. The command exits with 2."""


class ImageFileError(ScoringError):
    """An image file that is missing or cannot be decoded."""
