"""From the first page to the last in Chromium, by keyboard alone; the overview, whose figures follow the answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from browser_support import PATIENCE_MS, READY, Person, settings_of, wait_until
from sqlalchemy import select, update
from study_support import LiveServer

from user_study.core import accounts
from user_study.core.clock import now_ms
from user_study.database.schema import pair, participant

PASSWORD = "four words at random"


@pytest.fixture
def stranger(live_server: LiveServer, browser: Any) -> Iterator[Person]:
    """Somebody who has just opened the first page."""
    one = Person(live_server, browser, signed_in=False, color_scheme="dark", reduced_motion="reduce")
    one.open("/")
    yield one
    one.close()


def focus(page: Any, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(40):
        if page.evaluate("(selector) => document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by Tab")


def test_keyboard_alone_from_the_first_page_to_the_last(stranger: Person) -> None:
    page, name = stranger.page, f"Walker {now_ms() % 100_000}"
    with settings_of(stranger.server, per_person_cap=2):
        focus(page, "#nickname")
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Keep your resume code")
        code = page.inner_text("#code")
        focus(page, "main a[href='/consent']")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Before you begin")
        for box in ("[name=adult]", "[name=agree]"):
            focus(page, box)
            page.keyboard.press("Space")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=What to look for")
        assert page.locator(".examples img").count() == 4
        focus(page, "main button")
        page.keyboard.press("Enter")
        with stranger.database.read() as c:
            stranger.id = c.execute(select(participant.c.id).where(participant.c.nickname == name)).scalar_one()
        for _ in range(6):
            page.wait_for_selector(READY)
            page.wait_for_timeout(270)
            page.keyboard.press("y" if stranger.truth() == "yes" else "n")
            page.wait_for_selector("text=Right: ")
            page.keyboard.press("Enter")  # the button to the next pair has the focus
        page.wait_for_selector("text=Practice is over")
        page.keyboard.press("Enter")
        for key in ("ArrowLeft", "ArrowRight"):
            stranger.press(key, 420)
        wait_until(
            lambda: stranger.page.url.endswith("/finish") or page.wait_for_timeout(50) is not None, "the last page"
        )
        page.wait_for_selector("text=Your completion code")
        assert page.locator("#completion").inner_text()
        given = [row.answer for row in stranger.responses()][6:]
        assert given[:2] == ["no", "yes"]
        # back on another day, by the code in another hand
        stranger.context.clear_cookies()
        stranger.open("/resume")
        page.fill("#resume-code", code.lower().replace("-", " "))
        page.keyboard.press("Enter")
        page.wait_for_selector(f"text=Welcome back, {name}")


def test_overview_follows_the_answers(live_server: LiveServer, browser: Any) -> None:
    with live_server.study.database.write() as c:
        accounts.add(c, "grace", accounts.hashed(PASSWORD), "tests", now_ms())
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{live_server.url}/admin")
    page.wait_for_selector("#name:focus")
    page.keyboard.type("grace")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin")
    figure = page.locator("[data-live=answers]")
    before = int(figure.inner_text())
    with live_server.study.database.write() as c:
        c.execute(update(pair).where(pair.c.id == 1).values(done=pair.c.done + 3, yes=pair.c.yes + 3))
    try:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as if the page was looked at again
        # the policy forbids eval, and with it wait_for_function
        page.locator("[data-live=answers]", has_text=re.compile(f"^{before + 3}$")).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert said == [] and all(address.startswith(live_server.url) for address in asked)
    finally:
        with live_server.study.database.write() as c:
            c.execute(update(pair).where(pair.c.id == 1).values(done=pair.c.done - 3, yes=pair.c.yes - 3))
        context.close()
