"""Sends simulated people through a study."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from semfid.progress import Advance
from user_study.core.errors import StudyError
from user_study.simulation.client import Refusal, Visitor, open_http
from user_study.simulation.people import SimulatedPerson
from user_study.simulation.truth import Truth, digest_of

MOST_TRIALS = 2_000  # of one person, whatever the study's cap


@dataclass
class Outcome:
    """What became of one person.

    Attributes:
        answered: trials of the main part; `accepted` by the server among them.
        ended: done, full, paused, time, or why the server refused.
    """

    nickname: str
    kind: str
    answered: int = 0
    accepted: int = 0
    ended: str = ""


@dataclass(frozen=True)
class Plan:
    """How a simulation runs.

    Attributes:
        together: people at a time.
        wait: let the seconds that a person takes really pass (1.0), in part, or not at all (0.0, where the server takes the
            times that browsers tell).
        limit_s: when to stop.
        name: in front of the nicknames.
    """

    together: int = 16
    wait: float = 0.0
    limit_s: float = 600.0
    name: str = ""


class _Eyes:
    """Pixel hashes of the pictures that were seen, by address: a picture is decoded once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    async def look(self, visitor: Visitor, url: str) -> str:
        if url not in self._known:
            content = await visitor.see(url)
            if content is None:
                raise StudyError(f"{url}: seen, but not remembered")
            self._known[url] = digest_of(content)
        return self._known[url]


def run_people(
    base: str,
    people: Sequence[SimulatedPerson],
    truth: Truth,
    plan: Plan | None = None,
    progress: Advance | None = None,
) -> list[Outcome]:
    """Everybody takes part until there is nothing left to answer, some at a time, in the order given.

    Raises:
        StudyError: no server there, or one of another study.
    """
    plan = plan or Plan()
    return asyncio.run(_run(base, people, truth, plan, progress))


async def _run(
    base: str, people: Sequence[SimulatedPerson], truth: Truth, plan: Plan, progress: Advance | None
) -> list[Outcome]:
    places, eyes, deadline = asyncio.Semaphore(plan.together), _Eyes(), time.monotonic() + plan.limit_s
    outcomes = [
        Outcome(f"{plan.name}{person.kind.replace('_', ' ')} {number:03d}", person.kind)
        for number, person in enumerate(people, start=1)
    ]
    done = 0

    async def one(http: httpx.AsyncClient, person: SimulatedPerson, outcome: Outcome) -> None:
        nonlocal done
        async with places:
            if time.monotonic() < deadline:
                await take_part(Visitor(http, base), person, truth, eyes, plan, deadline, outcome)
            else:
                outcome.ended = "time"
        done += 1
        if progress is not None:
            progress(done, len(people))

    try:
        async with open_http(plan.together + 4) as http:
            await asyncio.gather(
                *(one(http, person, outcome) for person, outcome in zip(people, outcomes, strict=True))
            )
    except httpx.HTTPError as error:
        raise StudyError(f"{base}: {type(error).__name__} {error}; does a study's server run there?") from error
    return outcomes


async def take_part(
    visitor: Visitor, person: SimulatedPerson, truth: Truth, eyes: _Eyes, plan: Plan, deadline: float, outcome: Outcome
) -> None:
    """One person, from the landing page to the end. The reason of the end is in `outcome`."""
    try:
        await visitor.join(outcome.nickname)
        state = await visitor.next()
        while state["trial"] is not None and outcome.answered < MOST_TRIALS:
            if time.monotonic() > deadline:
                outcome.ended = "time"
                return
            trial = state["trial"]
            pictures = [await eyes.look(visitor, trial[side]["url"]) for side in ("left", "right")]
            scene = truth.of(*pictures)
            practice = trial["kind"] == "training"
            said = person.learn(scene.truth or "no") if practice else person.judge(scene.key, scene.rate)
            seconds = person.seconds()
            await asyncio.sleep(seconds * plan.wait)
            # people look while the pictures load: the browser counts from both decoded
            sent = await _answer(visitor, trial["id"], said, seconds * 1000)
            if sent is None:
                state = await visitor.next()
                continue
            outcome.answered += not practice
            outcome.accepted += bool(sent["counted"])
            state = sent["state"]
            if state["spins"] > 0 and not practice:
                await visitor.spin()
        outcome.ended = str(state["phase"])
    except Refusal as refusal:
        outcome.ended = refusal.code if refusal.code != "page" else str(refusal)


async def _answer(visitor: Visitor, trial: str, said: str, rt_ms: float) -> dict[str, Any] | None:
    """None: the trial was over."""
    try:
        return await visitor.answer(
            trial=trial, answer=said, rt_ms=round(rt_ms, 1), load_ms=20.0, input="key", held=False, view="side", toggles=0,
            zoom_max=1.0, blurs=0, blur_ms=0, viewport=[1440, 900], pixel_ratio=1.0, shown_width=512.0,
        )  # fmt: skip
    except Refusal as refusal:
        if refusal.code in ("expired", "unknown_trial", "not_yet"):
            return None
        raise
