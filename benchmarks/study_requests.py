"""Processor time of the pages between a first look and the first pair, request by request.

    python benchmarks/study_requests.py [--people 200] [--database sqlite|postgresql]

Each person loads the landing page, joins, consents, reads the instructions and loads the trial page, one after the other, in one
process: the application is called as a server calls it (ASGI), without a network and without parsing HTTP. Time is that of all
threads of the process (`time.process_time`), after a tenth of the people as a warm-up. The landing page is also loaded by a
person who is signed in.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from study_support import make_study, postgres

from user_study.web.app import ServeOptions, create_app

BASE = [
    (b"host", b"127.0.0.1:8000"),
    (b"sec-fetch-site", b"same-origin"),
    (b"user-agent", b"Mozilla/5.0 Chrome/130.0.0.0"),
]
FORM = (b"content-type", b"application/x-www-form-urlencoded")
CONSENT = re.compile(rb'name="version" value="([0-9a-f]+)"')
JOIN = ("GET /", "POST /join", "GET /consent", "POST /consent", "GET /instructions", "POST /instructions", "GET /study")


class Browser:
    """One visitor who calls the application directly; `spent` collects seconds of processor time by request."""

    def __init__(self, app: Any, spent: dict[str, list[float]]) -> None:
        self._app, self._spent, self._cookie = app, spent, b""

    async def ask(self, method: str, path: str, named: str = "", **fields: str) -> bytes:
        """Send one request and read the whole reply; `named`: what it is counted under."""
        body = urlencode(fields).encode()
        headers = [*BASE, *([(b"cookie", self._cookie)] if self._cookie else [])]
        if method == "POST":
            headers += [FORM, (b"content-length", str(len(body)).encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
            "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8000), "state": {},
        }  # fmt: skip
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        start = time.process_time()
        await self._app(scope, receive, send)
        self._spent[named or f"{method} {path}"].append(time.process_time() - start)
        if messages[0]["status"] >= 400:
            raise SystemExit(f"{method} {path}: {messages[0]['status']}")
        for name, value in messages[0]["headers"]:
            if name == b"set-cookie":
                self._cookie = value.partition(b";")[0]
        return b"".join(message.get("body", b"") for message in messages[1:])


async def visit(app: Any, spent: dict[str, list[float]], name: str) -> None:
    """From the landing page to the trial page, then the landing page again."""
    browser = Browser(app, spent)
    await browser.ask("GET", "/")
    await browser.ask("POST", "/join", nickname=name)
    found = CONSENT.search(await browser.ask("GET", "/consent"))
    if found is None:
        raise SystemExit("no consent form; is the study live?")
    await browser.ask("POST", "/consent", version=found[1].decode(), adult="yes", agree="yes")
    await browser.ask("GET", "/instructions")
    await browser.ask("POST", "/instructions")
    await browser.ask("GET", "/study")
    await browser.ask("GET", "/", "GET / (signed in)")


async def visits(app: Any, people: int) -> dict[str, list[float]]:
    """All visits, those of the warm-up first."""
    async with app.router.lifespan_context(app):
        for number in range(max(2, people // 10)):
            await visit(app, defaultdict(list), f"early {number}")
        spent: dict[str, list[float]] = defaultdict(list)
        for number in range(people):
            await visit(app, spent, f"person {number}")
    return spent


def report(spent: dict[str, list[float]], database: str) -> None:
    """Milliseconds of each request; the lowest tenth shows what other work on the machine adds to the rest."""
    print(f"{database}, {len(spent['GET /'])} people; milliseconds of processor time: median (mean, lowest tenth)")

    def line(name: str, columns: list[list[float]]) -> str:
        figures = [
            sum(of(column) for column in columns)
            for of in (statistics.median, statistics.mean, lambda column: statistics.quantiles(column, n=10)[0])
        ]
        middle, mean, low = (1000 * figure for figure in figures)
        return f"  {name:42} {middle:6.2f} ({mean:.2f}, {low:.2f})"

    for name, seconds in spent.items():
        print(line(name, [seconds]))
    print(line("landing page (target 2)", [spent["GET /"]]))
    print(line("join, POST /join alone (target 5)", [spent["POST /join"]]))
    print(line("all seven requests up to the trial page", [spent[name] for name in JOIN]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="semfid-requests-"))) / "study"
        url = stack.enter_context(postgres()) if arguments.database == "postgresql" else None
        study = make_study(folder, url=url)
        stack.callback(study.database.close)
        app = create_app(study.database, study.path, ServeOptions(rate_limits=False, expiry_s=0))
        report(asyncio.run(visits(app, arguments.people)), arguments.database)


if __name__ == "__main__":
    main()
