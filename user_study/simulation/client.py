"""One visitor's browser, as far as the study's server sees it: pages, forms, cookie, images, the trial's interface."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from user_study.core.errors import StudyError

HEADERS = {"Sec-Fetch-Site": "same-origin", "User-Agent": "Mozilla/5.0 (simulated) Chrome/130.0.0.0"}
TRIES = 6  # of a call that the server puts off (503, 429)
_CONSENT = re.compile(r'name="version" value="([0-9a-f]+)"')
Timed = Callable[[str, float, int], None]


class Refusal(StudyError):
    """The server said no; `status` and `code` say how."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Visitor:
    """A browser with one session.

    Args:
        http: shared connections; without cookies of its own.
        base: address of the server, ``http://127.0.0.1:8000``.
        timed: called as ``timed(path, seconds, status)`` after each request.
    """

    def __init__(self, http: httpx.AsyncClient, base: str, timed: Timed | None = None) -> None:
        self._http = http
        self._base = base.rstrip("/")
        self._timed = timed
        self._cookies: dict[str, str] = {}
        self._images: set[str] = set()

    async def join(self, nickname: str) -> None:
        """Join without an invitation: landing page, nickname, consent, instructions.

        Raises:
            Refusal: the server does not let the person in.
        """
        await self._page("/")
        await self._form("/join", {"nickname": nickname})
        found = _CONSENT.search((await self._page("/consent")).text)
        if found is None:
            raise StudyError(
                f"{self._base}/consent: no consent form in there; is this a study's server, and is it live?"
            )
        await self._form("/consent", {"version": found[1], "adult": "yes", "agree": "yes"})
        await self._page("/instructions")
        await self._form("/instructions", {})

    async def next(self) -> dict[str, Any]:
        """The STATE of the interface."""
        return await self._call("/api/next", {})

    async def answer(self, **fields: Any) -> dict[str, Any]:
        """Send an answer; returns the reply with the next STATE."""
        return await self._call("/api/answer", fields)

    async def spin(self) -> dict[str, Any]:
        """Turn the wheel."""
        return await self._call("/api/spin", {})

    async def see(self, url: str) -> bytes | None:
        """Load an image; None: it is in the browser's cache."""
        if url in self._images:
            return None
        reply = await self._send("GET", url)
        _accept(reply)
        self._images.add(url)
        return reply.content

    async def _page(self, path: str) -> httpx.Response:
        return _accept(await self._send("GET", path))

    async def _form(self, path: str, fields: Mapping[str, str]) -> httpx.Response:
        return _accept(await self._patient(path, data=dict(fields)))

    async def _call(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = _accept(await self._patient(path, json=dict(fields))).json()
        return reply

    async def _patient(self, path: str, **body: Any) -> httpx.Response:
        """Try again what the server puts off, as the page's script does."""
        for attempt in range(TRIES):
            reply = await self._send("POST", path, **body)
            if reply.status_code not in (429, 503):
                break
            await asyncio.sleep(0.2 * (attempt + 1))
        return reply

    async def _send(self, method: str, path: str, **body: Any) -> httpx.Response:
        clock = asyncio.get_running_loop().time
        start = clock()
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {**HEADERS, **({"Cookie": cookie} if cookie else {})}
        reply = await self._http.request(method, f"{self._base}{path}", headers=headers, **body)
        for line in reply.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        if self._timed is not None:
            self._timed(path, clock() - start, reply.status_code)
        return reply


def _accept(reply: httpx.Response) -> httpx.Response:
    if reply.status_code < 400:
        return reply
    try:
        error = reply.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        found = re.search(r'class="[^"]*fault[^"]*"[^>]*>(.*?)<', reply.text, flags=re.S)
        code, message = "page", found[1].strip() if found else reply.reason_phrase
    raise Refusal(reply.status_code, code, f"{reply.request.url.path}: {reply.status_code} {code}: {message}")


def open_http(connections: int) -> httpx.AsyncClient:
    """Connections that many visitors share. The cookies are the visitors' own: the jar here stays empty."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    http = httpx.AsyncClient(limits=limits, timeout=60.0, trust_env=False)
    http.event_hooks = {"response": [_forget_cookies(http)]}
    return http


def _forget_cookies(http: httpx.AsyncClient) -> Callable[[httpx.Response], Any]:
    async def forget(_: httpx.Response) -> None:
        http.cookies.clear()

    return forget
