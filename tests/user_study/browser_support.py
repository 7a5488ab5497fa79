"""A participant in a real browser: signed in, watched for errors and for requests to other hosts."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import insert, select, update
from study_support import LiveServer, newcomer

from user_study.core import settings_store
from user_study.core.clock import now_ms
from user_study.database.schema import assignment, image, pair, participant, response, session
from user_study.web import sessions

READY = "[data-answer=no][aria-disabled=false]"
PATIENCE_MS = 300_000  # of one wait; so long only where something is wrong, however busy the machine is
_numbers = itertools.count(1)


class Person:
    """Somebody with a browser window of their own."""

    def __init__(
        self, server: LiveServer, browser: Any, ready: bool = True, signed_in: bool = True, **context: Any
    ) -> None:
        self.server, self.database = server, server.study.database
        self.context = browser.new_context(**{"viewport": {"width": 1024, "height": 768}, **context})
        self.context.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.expected: tuple[str, ...] = ()
        self.context.on("request", self._request)
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.context.on("console", self._console)
        self.id = 0
        if signed_in:
            self.id = newcomer(server.study, f"person {next(_numbers)} {now_ms() % 1_000_000}", ready=ready)
            value = f"browser-{self.id}-{'x' * 30}"
            with self.database.write() as c:
                c.execute(
                    insert(session).values(
                        id_hash=sessions.digest(value),
                        participant_id=self.id,
                        created_at=now_ms(),
                        expires_at=now_ms() + 3_600_000,
                    )
                )
            self.context.add_cookies([{"name": "study", "value": value, "url": server.url}])
        self.page = self.context.new_page()

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.server.url, "blob:", "data:")):
            self.foreign.append(request.url)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def open(self, path: str = "/study", page: Any = None) -> Any:
        """Load a page; the trial page is waited for until it takes answers."""
        page = page or self.page
        page.goto(self.server.url + path)
        if path == "/study":
            page.wait_for_selector(READY)
        return page

    def press(self, key: str, settle_ms: int = 270) -> None:
        """A key once the pair is there; the page takes none before 250 ms, the server counts none before 400."""
        self.page.wait_for_selector(READY)
        self.page.wait_for_timeout(settle_ms)
        self.page.keyboard.press(key)

    @property
    def said(self) -> str:
        return str(self.page.inner_text("#said"))

    def shown(self, page: Any = None) -> list[str]:
        """Addresses of the images on the left and on the right."""
        script = (
            "() => [...document.querySelectorAll('.window')].map(w => new URL(w.querySelector('img').src).pathname)"
        )
        return list((page or self.page).evaluate(script))

    def responses(self) -> list[Any]:
        with self.database.read() as c:
            query = select(response).where(response.c.participant_id == self.id).order_by(response.c.id)
            return list(c.execute(query).all())

    def answers(self, count: int) -> list[Any]:
        """The stored answers, once there are `count` of them."""
        wait_until(lambda: len(self.responses()) >= count, f"{count} answers stored")
        return self.responses()

    def truth(self) -> str | None:
        """Of the pair on the screen."""
        with self.database.read() as c:
            return c.execute(
                select(pair.c.truth)
                .join(assignment, assignment.c.pair_id == pair.c.id)
                .where(assignment.c.participant_id == self.id, assignment.c.state == "open", assignment.c.slot == 0)
            ).scalar_one()

    def assigned(self) -> list[str]:
        """Addresses of the left and the right image of the open trial, by the database."""
        with self.database.read() as c:
            row = c.execute(
                select(assignment.c.reference_left, pair.c.reference_image, pair.c.candidate_image)
                .join(pair, pair.c.id == assignment.c.pair_id)
                .where(assignment.c.participant_id == self.id, assignment.c.state == "open", assignment.c.slot == 0)
            ).one()
            ids = [row.reference_image, row.candidate_image]
            tokens = {
                one.id: one.token for one in c.execute(select(image.c.id, image.c.token).where(image.c.id.in_(ids)))
            }
        return [f"/image/{tokens[number]}" for number in (ids if row.reference_left else ids[::-1])]

    def set(self, **values: Any) -> None:
        """Change the participant's row."""
        with self.database.write() as c:
            c.execute(update(participant).where(participant.c.id == self.id).values(**values))

    def close(self) -> None:
        """End the window; what the browser complained about fails the test."""
        self.context.close()
        complaints = [text for text in self.errors if not any(part in text for part in self.expected)]
        assert not complaints, complaints
        assert not self.foreign, self.foreign


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Look every few milliseconds."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def settings_of(server: LiveServer, **changes: Any) -> Iterator[None]:
    """Other settings while the block runs."""
    database = server.study.database
    with database.write() as c:
        before, _ = settings_store.current(c)
        settings_store.save(c, before.model_copy(update=changes), "tests", now_ms())
    try:
        yield
    finally:
        with database.write() as c:
            settings_store.save(c, before, "tests", now_ms())
