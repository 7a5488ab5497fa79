"""Bounds on what one client may send and how often; kept in memory, per process."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from user_study.core.clock import now_ms
from user_study.web.errors import Problem

KEPT = 20_000  # clients; the one not seen for longest is forgotten


@dataclass(frozen=True)
class Rate:
    """A bucket of `burst` requests that fills by `per_second`."""

    burst: float
    per_second: float


RATES = {
    "join": Rate(300, 5),  # a lecture hall behind one address
    "resume": Rate(60, 1),
    "login": Rate(10, 0.1),
    "api": Rate(150, 50),  # of one person
    "spin": Rate(10, 1),
    "data": Rate(10, 0.2),
    "export": Rate(20, 0.2),
}


class RateLimits:
    """Token buckets by action and client. Addresses are kept as keyed hashes, and only in memory."""

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled
        self._key = secrets.token_bytes(32)
        self._guard = threading.Lock()
        self._buckets: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def take(self, action: str, client: str) -> None:
        """Count one request.

        Raises:
            Problem: too many of them (429).
        """
        if not self._enabled:
            return
        rate = RATES[action]
        key = hashlib.blake2b(f"{action} {client}".encode(), key=self._key, digest_size=12).digest()
        now = now_ms()
        with self._guard:
            tokens, before = self._buckets.pop(key, (rate.burst, now))
            tokens = min(rate.burst, tokens + (now - before) / 1000 * rate.per_second)
            self._buckets[key] = (max(tokens - 1, 0.0), now) if tokens >= 1 else (tokens, now)
            if len(self._buckets) > KEPT:
                self._buckets.popitem(last=False)
        if tokens < 1:
            wait = max(1, round((1 - tokens) / rate.per_second))
            raise Problem(429, "rate_limited", f"Too many requests; wait {wait} s and try again.", retry_after=wait)


class BodyLimit:
    """ASGI middleware: a body longer than its path allows is refused (413) before it fills the memory.

    Bytes: `json_bytes` below /api/, `upload_bytes` for POST /admin/import, else `form_bytes`.
    """

    def __init__(self, app: ASGIApp, json_bytes: int, form_bytes: int, upload_bytes: int) -> None:
        self._app = app
        self._json, self._form, self._upload = json_bytes, form_bytes, upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        most = (
            self._json if path.startswith("/api/") else self._upload if path.startswith("/admin/import") else self._form
        )
        too_long = Problem(413, "too_large", f"The request is too large; {most // 1024} kB at most.")
        length = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        if length is not None and (not length.isdigit() or int(length) > most):
            raise too_long
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > most:
                    raise too_long
            return message

        await self._app(scope, counted, send)
