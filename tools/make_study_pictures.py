"""The screenshots in docs/pictures/study_*.png, taken in Chromium from a demo study that some people have answered.

python tools/make_study_pictures.py [--only NAME ...]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import insert, select, update

from user_study.commands.simulate import MIX
from user_study.core import study_state
from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder, create_study
from user_study.core.settings import from_dict
from user_study.database.schema import admin, pair, participant, session
from user_study.demo import load_demo
from user_study.participant import joining
from user_study.simulation.local_server import serving
from user_study.simulation.people import cast
from user_study.simulation.running import Plan
from user_study.simulation.study import simulate, simulated_study
from user_study.web import sessions
from user_study.web.app import ServeOptions

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
READY = "[data-answer=no][aria-disabled=false]"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PEOPLE = ("Swift Heron", "Calm Otter", "Mira", "pixel_fox", "Keen Badger", "Jo", "Quiet Lynx", "Tomte")
COOKIE = "pictures-" + "x" * 40


def make_study(folder: Path) -> StudyFolder:
    """A live demo study under way; the first person is signed in by COOKIE."""
    study = create_study(folder, from_dict({"contact": "study@example.org"}))
    load_demo(study.database, study.images)
    now = now_ms()
    with study.database.write() as c:
        study_state.set_state(c, "live", "pictures", now)
        settings = study_state.facts(c).settings
        for place, name in enumerate(PEOPLE):
            number = joining.join(c, settings, name, "nickname", now).id
            values = {
                "step": "main",
                "training_passed_at": now,
                "valid": 34 - 3 * place,
                "score": 61 - 7 * place,
                "spins": 3,
            }
            c.execute(update(participant).where(participant.c.id == number).values(position=34 - 3 * place, **values))
            if place == 0:
                row = {"participant_id": number, "created_at": now, "expires_at": now + 3_600_000}
                c.execute(insert(session).values(id_hash=sessions.digest(COOKIE), **row))
        for number, yes in c.execute(select(pair.c.id, pair.c.id % 5).where(pair.c.kind == "main")).all():
            c.execute(update(pair).where(pair.c.id == number).values(done=11, yes=2 * yes, no=11 - 2 * yes))
    return study


def window(browser: Browser, url: str, signed_in: bool, **options: Any) -> Page:
    """A page of a window of its own."""
    context = browser.new_context(**options)
    if signed_in:
        context.add_cookies([{"name": "study", "value": COOKIE, "url": url}])
    return context.new_page()


def landing(browser: Browser, url: str) -> bytes:
    """The first page."""
    page = window(browser, url, False, viewport={"width": 1200, "height": 900}, color_scheme="light")
    page.goto(url)
    return page.screenshot()


def trial(browser: Browser, url: str) -> bytes:
    """A pair on a desktop."""
    page = window(browser, url, True, viewport={"width": 1280, "height": 800}, color_scheme="light")
    page.goto(f"{url}/study")
    page.wait_for_selector(READY)
    return page.screenshot()


def phone(browser: Browser, url: str) -> bytes:
    """A pair on a phone."""
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
    page = window(browser, url, True, **options)
    page.goto(f"{url}/study")
    page.wait_for_selector(READY)
    return page.screenshot()


def overview(browser: Browser, url: str) -> bytes:
    """What a researcher sees first."""
    return researcher(browser, f"{url}/admin", 1280, 1000)


def pairs(browser: Browser, url: str) -> bytes:
    """Pairs with their scores."""
    return researcher(browser, f"{url}/admin/pairs", 1280, 760)


def researcher(browser: Browser, address: str, width: int, height: int) -> bytes:
    """A page behind the researchers' door."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
    context.add_cookies([{"name": "study_admin", "value": COOKIE, "url": address}])
    page = context.new_page()
    page.goto(address)
    return page.screenshot()


Shots = dict[str, Callable[[Browser, str], bytes]]
SHOTS: Shots = {"study_landing": landing, "study_trial": trial, "study_phone": phone}
ANSWERED: Shots = {"study_overview": overview, "study_pairs": pairs}  # of a study that simulated people have answered


@contextlib.contextmanager
def made_study(folder: Path) -> Iterator[StudyFolder]:
    """`make_study`, closed afterwards."""
    study = make_study(folder)
    yield study
    study.database.close()


@contextlib.contextmanager
def answered_study(folder: Path) -> Iterator[StudyFolder]:
    """A demo study that simulated people have answered in part; COOKIE opens the researchers' door."""
    with simulated_study(folder, quota=24) as study:
        simulate(study, cast(22, MIX, seed=2), plan=Plan(together=6))
        now = now_ms()
        with study.database.write() as c:
            key = c.execute(insert(admin).values(name="ada", password_hash="-", created_at=now)).inserted_primary_key
            row = {"admin_id": key[0], "created_at": now, "expires_at": now + 3_600_000}
            c.execute(insert(session).values(id_hash=sessions.digest(COOKIE), **row))
        yield study


def take(study: StudyFolder, shots: Shots, browser: Browser) -> None:
    """Write pictures of a study."""
    with serving(study, ServeOptions(rate_limits=False)) as url:
        for name, shot in shots.items():
            picture = Image.open(io.BytesIO(shot(browser, url))).convert("RGB")
            file = PICTURES / f"{name}.png"
            picture.quantize(256, kmeans=4).save(file, optimize=True)
            print(f"{file.relative_to(ROOT)}: {picture.width}x{picture.height}, {file.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted({**SHOTS, **ANSWERED}), default=[*SHOTS, *ANSWERED])
    wanted = parser.parse_args().only
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("no Chromium here: apt-get install chromium")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        studies = [
            # made before playwright starts: it keeps the event loop that the simulation needs
            (stack.enter_context(make(folder / make.__name__)), chosen)
            for make, shots in ((made_study, SHOTS), (answered_study, ANSWERED))
            if (chosen := {name: shot for name, shot in shots.items() if name in wanted})
        ]
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=chromium, args=FLAGS)
        for study, chosen in studies:
            take(study, chosen, browser)
        browser.close()


if __name__ == "__main__":
    main()
