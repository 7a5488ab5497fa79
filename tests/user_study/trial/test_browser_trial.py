"""The trial page in Chromium: when an answer counts, what is sent, and what happens when something goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_support import READY, Person, settings_of, wait_until
from sqlalchemy import select, update
from study_support import LiveServer

from user_study.core import study_state
from user_study.core.clock import now_ms
from user_study.database.schema import assignment, ledger

MakePerson = Callable[..., Person]


@pytest.fixture
def person(live_server: LiveServer, browser: Any) -> Iterator[MakePerson]:
    """Makes people; their windows are closed, and must have been free of errors, at the end."""
    made: list[Person] = []

    def make(**options: Any) -> Person:
        made.append(Person(live_server, browser, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_held_key_and_a_double_click_give_one_answer_each(person: MakePerson) -> None:
    one = person()
    one.open()
    one.page.wait_for_timeout(420)
    for _ in range(12):  # without a release in between, the browser marks them as repeats
        one.page.keyboard.down("n")
        one.page.wait_for_timeout(60)
    one.page.keyboard.up("n")
    assert len(one.answers(1)) == 1
    one.page.wait_for_selector(READY)
    one.page.wait_for_timeout(420)
    one.page.dblclick("[data-answer=yes]")
    one.page.wait_for_timeout(300)
    rows = one.answers(2)
    assert [(row.answer, row.input) for row in rows] == [("no", "key"), ("yes", "mouse")]
    assert all(row.counted == (row.kind == "main") for row in rows)


def test_both_images_are_decoded_before_an_answer_counts(person: MakePerson) -> None:
    one = person()
    held: list[Any] = []
    one.context.route("**/image/*", lambda route: held.append(route) if len(held) < 1 else route.continue_())
    one.page.goto(one.server.url + "/study")
    wait_until(lambda: len(held) == 1 or one.page.wait_for_timeout(20) is not None, "an image was asked for")
    one.page.wait_for_timeout(500)
    assert one.page.locator(".window img").count() == 0, "one image must not be seen before the other"
    assert one.page.get_attribute("[data-answer=no]", "aria-disabled") == "true"
    one.page.keyboard.press("n")
    one.page.click("[data-answer=yes]", force=True)
    assert one.responses() == []
    held[0].continue_()
    one.press("n", 420)
    (row,) = one.answers(1)
    assert row.answer == "no"
    assert row.load_ms >= 450  # the wait is in the loading time
    assert row.rt_ms >= 400


def test_sides_are_those_that_were_drawn_and_a_reload_keeps_the_trial_and_the_undo(person: MakePerson) -> None:
    one = person()
    one.open()
    for count in (1, 2, 3):
        assert one.shown() == one.assigned()
        one.press("y")
        one.answers(count)
        one.page.wait_for_selector(READY)
    texts = [image.get_attribute("alt") for image in one.page.locator(".window img:not(.under)").all()]
    assert texts == ["Image A", "Image B"]
    assert "reference" not in one.page.content().lower()
    before = one.shown()
    assert before == one.assigned()
    one.page.reload()
    one.page.wait_for_selector(READY)
    assert one.shown() == before
    one.page.keyboard.press("Backspace")
    one.page.wait_for_selector("text=You had answered Yes. Answer again.")


def test_one_tab_at_a_time(person: MakePerson) -> None:
    one = person()
    one.open()
    second = one.open(page=one.context.new_page())
    one.page.wait_for_selector("text=open in another tab")
    one.page.keyboard.press("n")
    second.wait_for_timeout(420)
    second.keyboard.press("y")
    assert [row.answer for row in one.answers(1)] == ["yes"]
    one.page.bring_to_front()
    one.page.click("button >> text=Use this tab")
    one.page.wait_for_selector(READY)
    second.wait_for_selector("text=open in another tab")
    assert one.shown() == one.assigned()


def test_the_last_minute_is_counted_down_and_an_expired_pair_says_so(person: MakePerson) -> None:
    one = person()
    one.page.clock.install()
    one.open()
    one.press("n")
    one.answers(1)
    one.page.wait_for_selector(READY)
    one.page.clock.fast_forward(200_000)
    one.page.wait_for_selector("#countdown:visible")
    assert re.search(r"\b[34]\d s more", one.page.inner_text("#countdown"))
    one.page.clock.fast_forward(50_000)
    one.page.wait_for_selector("text=This pair was not answered in time")
    one.page.click("text=Show me a pair")
    one.page.wait_for_selector(READY)
    assert len(one.responses()) == 1


def test_an_answer_to_a_pair_that_went_to_somebody_else(person: MakePerson) -> None:
    one = person()
    one.expected = ("409",)
    one.open()
    with one.database.write() as c:  # as if it had been undone in another window
        c.execute(
            update(assignment).where(assignment.c.participant_id == one.id).values(token=assignment.c.token + "x")
        )
    one.expected = ("404", "409")
    one.press("y")
    one.page.wait_for_selector("text=Your answer Yes was not stored.")
    one.page.wait_for_selector(READY)
    assert one.responses() == []
    assert one.shown() == one.assigned()


def test_undo_takes_back_the_last_answer(person: MakePerson) -> None:
    one = person()
    one.open()
    first = one.shown()
    one.press("y")
    one.answers(1)
    one.press("Backspace", 50)
    one.page.wait_for_selector("text=You had answered Yes. Answer again.")
    assert one.shown() == first
    one.press("n")
    rows = one.answers(2)
    assert [(row.answer, row.why_not == "undone") for row in rows] == [("yes", True), ("no", False)]
    assert rows[0].pair_id == rows[1].pair_id


def test_without_a_connection_answers_are_kept_and_sent_again(person: MakePerson) -> None:
    one = person()
    one.expected = ("ERR_INTERNET_DISCONNECTED",)
    one.open()
    one.press("n")
    one.answers(1)
    one.page.wait_for_selector(READY)
    one.page.wait_for_timeout(420)
    one.context.set_offline(True)
    one.page.keyboard.press("y")
    one.page.wait_for_selector("text=One answer is kept in this tab")
    kept = one.page.evaluate("() => Object.entries(sessionStorage).find(([key]) => key.startsWith('answers:'))[1]")
    assert '"answer":"yes"' in kept
    one.press("n", 420)  # the pair that was loaded ahead
    one.page.wait_for_selector("text=2 answers are kept in this tab")
    assert len(one.responses()) == 1
    one.context.set_offline(False)
    assert [row.answer for row in one.answers(3)] == ["no", "yes", "no"]
    one.page.wait_for_selector("text=Connected again")
    one.page.wait_for_selector(READY)


def test_a_refused_session_offers_the_resume_code(person: MakePerson) -> None:
    one = person()
    one.expected = ("401",)
    one.open()
    one.page.wait_for_timeout(420)
    one.context.clear_cookies()
    one.page.keyboard.press("y")
    one.page.wait_for_selector("text=You are signed out")
    assert one.page.get_attribute("#panel a", "href") == "/resume"


def test_a_pause_of_the_study_and_a_break_cover_the_pair(person: MakePerson) -> None:
    one = person()
    with one.database.write() as c:
        study_state.set_state(c, "paused", "tests", now_ms())
    try:
        one.page.goto(one.server.url + "/study")
        one.page.wait_for_selector("text=The study is paused")
    finally:
        with one.database.write() as c:
            study_state.set_state(c, "live", "tests", now_ms())
    with settings_of(one.server, break_every=1):
        one.page.click("text=Look again")
        one.press("n")
        one.page.wait_for_selector("text=Time for a short break")
        assert not one.page.locator("#stage").is_visible()
        one.page.keyboard.press("y")  # takes no answer
        one.page.keyboard.press("Enter")
        one.page.wait_for_selector(READY)
    assert len(one.responses()) == 1


def test_zoom_pan_and_exchange_move_both_images(person: MakePerson) -> None:
    one = person()
    one.open()
    page = one.page
    transforms = "() => [...new Set([...document.querySelectorAll('.window img')].map(i => i.style.transform))]"
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")  # moves, does not answer
    (both,) = page.evaluate(transforms)
    assert "scale(1.4)" in both
    before = page.evaluate(
        "() => [...document.querySelectorAll('.window')].map(w => w.querySelector('img:not(.under)').src)"
    )
    page.keyboard.down(" ")
    page.wait_for_timeout(350)
    seen = "() => [...document.querySelectorAll('.window')].map(w => w.querySelector('img:not(.under)').src)"
    assert page.evaluate(seen) == before[::-1]
    assert page.locator(".letter").all_inner_texts() == ["B", "A"]
    page.keyboard.up(" ")
    assert page.evaluate(seen) == before
    page.hover(".window >> nth=0")
    page.mouse.wheel(0, -100)
    (both,) = page.evaluate(transforms)
    assert float(re.search(r"scale\(([\d.]+)\)", both)[1]) > 1.4  # type: ignore[index]
    page.keyboard.press("1")
    widths = "() => { const i = document.querySelector('.window img'); return [i.getBoundingClientRect().width, i.naturalWidth] }"
    drawn, natural = page.evaluate(widths)
    assert drawn == pytest.approx(natural, abs=0.5)
    page.keyboard.press("0")
    one.press("n")
    (row,) = one.answers(1)
    assert (row.toggles, row.view) == (1, "toggle")
    assert row.zoom_max > 1.4
    assert row.viewport_width == 1024


def test_what_changed_and_where_by_keyboard_and_by_mouse(person: MakePerson) -> None:
    one = person()
    with settings_of(one.server, follow_up_category=True, follow_up_where=True):
        one.open()
        one.press("y")
        one.page.wait_for_selector("text=what changed?")
        one.page.keyboard.press("2")
        one.page.wait_for_selector("text=where the meaning changed")
        for key in ("ArrowUp", "ArrowUp", "Shift+ArrowRight", "Enter"):
            one.page.keyboard.press(key)
        (row,) = one.answers(1)
        assert (row.answer, row.category) == ("yes", "structure")
        assert (row.where_x, row.where_y) == (pytest.approx(0.6), pytest.approx(0.48))
        one.press("y")
        one.page.keyboard.press("Escape")  # back to the question
        one.press("n")
        assert [(row.answer, row.category) for row in one.answers(2)][1] == ("no", None)
        one.press("y")
        one.page.click("text=The whole meaning")
        box = one.page.locator(".picking").bounding_box()
        one.page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.75)
        row = one.answers(3)[2]
        assert row.category == "meaning"
        assert (row.where_x, row.where_y) == (pytest.approx(0.25, abs=0.02), pytest.approx(0.75, abs=0.02))


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_the_wheel_stops_on_what_the_server_drew(person: MakePerson, motion: str) -> None:
    one = person(reduced_motion=motion)
    one.open()
    one.set(valid=9, score=50)
    one.page.reload()
    one.press("n", 420)
    one.page.wait_for_selector("text=The wheel is yours")
    one.page.wait_for_selector("text=/You are number \\d+ on the leaderboard/")
    one.page.dblclick(".spin")  # draws once
    if motion == "no-preference":
        one.page.wait_for_function("() => document.getAnimations().length > 0")  # it turns
        one.page.evaluate("() => document.getAnimations().forEach((turning) => turning.finish())")
    one.page.wait_for_selector("text=Your score is >> nth=1")
    one.page.wait_for_function("() => /points/.test(document.querySelector('.spin-said').textContent)")
    with one.database.read() as c:
        drawn = list(
            c.execute(
                select(ledger.c.points).where(ledger.c.participant_id == one.id, ledger.c.kind == "spin")
            ).scalars()
        )
    assert len(drawn) == 1
    below_pointer = one.page.evaluate(
        """() => {
          const at = document.querySelector('.pointer').getBoundingClientRect();
          return [...document.querySelectorAll('.disc path')].find((part) => {
            const wheel = part.ownerSVGElement, point = wheel.createSVGPoint();
            point.x = at.x + at.width / 2; point.y = at.y + at.height + 6;
            return part.isPointInFill(point.matrixTransform(part.getScreenCTM().inverse()));
          }).dataset.points;
        }"""
    )
    assert int(below_pointer) == drawn[0]
    one.page.click("text=Go on")
    one.page.wait_for_selector(READY)


def test_on_a_phone(person: MakePerson) -> None:
    one = person(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = one.page
    with settings_of(one.server, phones=False):
        page.goto(one.server.url + "/study")
        page.wait_for_selector("text=A larger screen is better")
        page.click("text=Go on here")
        page.wait_for_selector(READY)
    boxes = [window.bounding_box() for window in page.locator(".window").all()]
    assert boxes[0]["x"] == boxes[1]["x"]
    assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    for button in page.locator("button:visible").all():
        assert button.bounding_box()["height"] >= 44, button.inner_text()
    two_fingers(one, boxes[0])
    page.click("#more")  # zoom by buttons, for those who cannot pinch
    assert page.locator("#zoom").inner_text() == "300 %"
    assert page.evaluate("() => visualViewport.scale") == 1  # the pair is zoomed, not the page
    page.click("#zoom")
    assert page.locator("#zoom").inner_text() == "100 %"
    page.wait_for_timeout(420)
    page.tap("[data-answer=yes]")
    (row,) = one.answers(1)
    assert (row.answer, row.input, row.viewport_width) == ("yes", "touch", 390)
    assert row.zoom_max == pytest.approx(3)


def two_fingers(one: Person, box: dict[str, float]) -> None:
    """Spread two fingers on an image, from 10 to 30 CSS pixels around its middle."""
    devtools = one.context.new_cdp_session(one.page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, spread in (("touchStart", 10), *(("touchMove", step) for step in (15, 20, 25, 30)), ("touchEnd", 0)):
        points = [{"x": x + sign * spread, "y": y, "id": sign + 1} for sign in (-1, 1)] if spread else []
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_the_next_pair_is_loaded_before_it_is_asked_for_and_the_page_is_light(person: MakePerson) -> None:
    """Its images have arrived when the answer is given; benchmarks/study_page.py measures how soon they stand there."""
    one = person()
    arrived: list[str] = []
    weight = {"bytes": 0}

    def note(finished: Any) -> None:
        path = finished.url.removeprefix(one.server.url)
        if path.startswith("/image/"):
            arrived.append(path)
        else:
            sizes = finished.sizes()
            weight["bytes"] += sizes["responseBodySize"] + sizes["responseHeadersSize"]

    one.page.on("requestfinished", note)
    one.open()
    for answers in range(3):
        wanted = 2 * (answers + 2)  # of the pair on the screen and of the next one
        wait_until(
            lambda wanted=wanted: len(set(arrived)) >= wanted or one.page.wait_for_timeout(20) is not None,
            f"{wanted} images arrived",
        )
        before = set(arrived)
        one.press("n")
        one.answers(answers + 1)
        one.page.wait_for_selector(READY)
        assert set(one.shown()) <= before
    assert 10_000 < weight["bytes"] < 100_000
    marks = "(name) => performance.getEntriesByName(name).length"
    assert one.page.evaluate(marks, "answered") == 3
    assert one.page.evaluate(marks, "shown") == 4
