"""What every answer carries, and which requests may change anything."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from user_study.web.errors import Problem

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "X-Robots-Tag": "noindex",
}
_RAW = [(name.lower().encode(), value.encode()) for name, value in {**HEADERS, "Cache-Control": "no-store"}.items()]
_HSTS = (b"strict-transport-security", b"max-age=31536000")
SAFE = ("GET", "HEAD")
METHODS = ("GET", "HEAD", "POST")


class SecurityHeaders:
    """ASGI middleware: the headers above on every response, errors included; Strict-Transport-Security over HTTPS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = list(message["headers"])
                known = {name for name, _ in headers}
                headers += [header for header in _RAW if header[0] not in known]
                if scope["scheme"] == "https":
                    headers.append(_HSTS)
            await send(message)

        await self._app(scope, receive, with_headers)


class RequestRules:
    """ASGI middleware: HTTPS where it is demanded, and no change from another site (CSRF).

    A request that may change something must come from our own pages: browsers say so in Sec-Fetch-Site, and where they do not
    (plain HTTP in a network, old ones) in Origin, which must name the host that was asked. This is the rule of Go's
    http.CrossOriginProtection, but stricter: a request that says neither is refused.
    """

    def __init__(self, app: ASGIApp, plain_http: bool) -> None:
        self._app = app
        self._plain_http = plain_http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["method"] not in METHODS:
                raise Problem(405, "bad_request", "This address does not take that method.")
            if not self._plain_http and scope["scheme"] != "https" and not _is_loopback(scope):
                raise Problem(403, "needs_https", "This study is served over HTTPS only; open its https:// address.")
            if scope["method"] not in SAFE:
                refuse_foreign(Headers(scope=scope))
        await self._app(scope, receive, send)


def refuse_foreign(headers: Headers) -> None:
    """Raise a Problem (403) unless the request comes from a page of the host it asks."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site in ("same-origin", "none"):
            return
    else:
        origin, host = headers.get("origin"), headers.get("host", "").lower()
        if origin is not None and host and urlsplit(origin).netloc.lower() == host:
            return
    raise Problem(
        403, "foreign", "The request did not come from a page of this study; open the study again and repeat it."
    )


def _is_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    if client is None:
        return True  # a Unix socket
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False
