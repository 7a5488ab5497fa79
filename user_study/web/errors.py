"""A request that cannot be served: one exception for pages and for JSON."""

from __future__ import annotations


class Problem(Exception):
    """Status, a short code for scripts, and a message that says what to do."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
