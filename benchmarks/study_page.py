"""The two figures of the trial page, in Chromium on the demo pairs: its weight, and how soon the next pair is shown.

python benchmarks/study_page.py [--answers 40]

The time runs from the key press (the event's own time stamp) to the end of the frame in which both images of the next pair stand;
that pair was loaded ahead. The weight is what goes over the wire in a first visit, headers included, without the images.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from sqlalchemy import update
from study_support import make_study

from user_study.database.schema import participant
from user_study.simulation.local_server import serving
from user_study.web.app import ServeOptions

READY = "[data-answer=no][aria-disabled=false]"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMES = """() => {
  const marks = (name) => performance.getEntriesByName(name).map((mark) => mark.startTime);
  const shown = marks('shown');
  return marks('answered').map((start) => shown.find((end) => end > start) - start).filter((time) => time > 0);
}"""


def answer(page: Page, count: int) -> list[float]:
    """Answer `count` pairs; milliseconds from each key press to the next pair."""
    for number in range(count):
        page.wait_for_selector(READY)
        page.wait_for_timeout(450)  # the pair after the next one is loaded in this time, as it is for a person
        page.keyboard.press("ny"[number % 2])
    page.wait_for_selector(READY)
    return list(page.evaluate(TIMES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=40)
    answers = parser.parse_args().answers
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("no Chromium here: apt-get install chromium")
    quiet = {"break_every": 0, "game": {"enabled": False}}  # nothing between the pairs
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        study = make_study(Path(folder) / "study", main=80, **quiet)
        with serving(study, ServeOptions(rate_limits=False)) as url:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            page = context.new_page()
            page.goto(url)
            page.fill("#nickname", "Keen Owl")
            page.click("main form button")
            with study.database.write() as c:
                c.execute(update(participant).values(step="main", consented_at=1, training_passed_at=1))
            fresh = browser.new_context(viewport={"width": 1440, "height": 900})  # nothing in its cache
            fresh.add_cookies(context.cookies())
            context.close()
            page = fresh.new_page()
            weights: dict[str, int] = {}

            def weigh(request: Any) -> None:
                if "/image/" not in request.url:
                    sizes = request.sizes()
                    name = request.url.removeprefix(url).partition("?")[0]
                    weights[name] = weights.get(name, 0) + sizes["responseBodySize"] + sizes["responseHeadersSize"]

            page.on("requestfinished", weigh)
            page.goto(f"{url}/study")
            page.wait_for_selector(READY)
            page.wait_for_timeout(300)
            first_visit = dict(weights)
            times = answer(page, answers)
            browser.close()
        study.database.close()
    total = sum(first_visit.values())
    print(json.dumps(dict(sorted(first_visit.items(), key=lambda item: -item[1]))))
    kilobytes = total / 1000
    print(
        f"trial page without the images: {kilobytes:.1f} kB in {len(first_visit)} files (target < 100 kB): {kilobytes / 100:.2f}"
    )
    middle, slow = statistics.median(times), sorted(times)[max(0, round(0.95 * len(times)) - 1)]
    print(
        f"next pair, {len(times)} answers: median {middle:.0f} ms, p95 {slow:.0f} ms, longest {max(times):.0f} ms",
        end=" ",
    )
    print(f"(target < 50 ms): {middle / 50:.2f}")


if __name__ == "__main__":
    main()
