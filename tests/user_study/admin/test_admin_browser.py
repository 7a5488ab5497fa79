"""The overview in Chromium: signing in by keyboard, figures that follow the answers, nothing that the policy forbids."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import update
from study_support import LiveServer

from user_study.core import accounts
from user_study.core.clock import now_ms
from user_study.database.schema import pair

PASSWORD = "four words at random"


def test_overview_follows_the_answers(live_server: LiveServer, browser: Any) -> None:
    with live_server.study.database.write() as c:
        accounts.add(c, "grace", accounts.hashed(PASSWORD), "tests", now_ms())
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    context.set_default_timeout(60_000)  # of a machine that does other things too
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
