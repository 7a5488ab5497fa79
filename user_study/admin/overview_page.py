"""The overview: progress, quality of the labels, and the study's state; and the same as JSON for polling."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup
from sqlalchemy import Connection, func, select
from starlette.responses import JSONResponse, Response

from user_study.admin import backup_page, charts
from user_study.admin.deps import AdminRequest, change, done, see
from user_study.admin.formats import day, figure, hours, percent
from user_study.analysis import overview
from user_study.core import study_state
from user_study.database.schema import pair
from user_study.web.errors import Problem


def _figures(
    request: AdminRequest, c: Connection
) -> tuple[overview.Progress, overview.Reliability, study_state.StudyFacts]:
    facts = study_state.facts(c)
    progress = overview.progress(c, request.now)
    kept = _kept(request)
    return progress, kept.get(c, progress, facts.settings.answers == "unsure", request.now), facts


def _kept(request: AdminRequest) -> overview.Reliable:
    """The figures that take longer, kept beside the application."""
    state = request.http.app.state
    if not hasattr(state, "reliable"):
        state.reliable = overview.Reliable()
    return state.reliable


def _shown(progress: overview.Progress, figures: overview.Reliability, now: int) -> dict[str, str]:
    """The figures as the page prints them, by the names of data-live."""
    agreement, people, left = figures.agreement, progress.people, progress.answers < progress.target
    low, high = progress.trap_interval
    interval = "" if math.isnan(agreement.low) else f"{figure(agreement.low)} to {figure(agreement.high)}"
    return {
        "answers": f"{progress.answers:,}",
        "target": f"{progress.target:,}",
        "share": percent(progress.share, 1),
        "time_left": hours(progress.hours_left) if left else "none" if progress.target else "–",
        "per_hour": f"{progress.per_hour:,.0f}",
        "active": f"{people.active:,}",
        "complete": f"{progress.complete:,} / {progress.pairs:,}",
        "joined": f"{people.joined:,}",
        "finished": f"{people.finished:,}",
        "excluded": f"{people.excluded:,}",
        "flagged": f"{people.flagged:,}",
        "split_half": figure(figures.split_half),
        "alpha": figure(agreement.alpha),
        "alpha_interval": interval,
        "ac1": figure(agreement.ac1),
        "traps": percent(progress.traps_right / progress.traps_seen) if progress.traps_seen else "–",
        "traps_interval": f"{percent(low)} to {percent(high)}" if progress.traps_seen else "",
        "yes_share": percent(progress.yes / progress.answers) if progress.answers else "–",
        "at": day(now) + f":{now // 1000 % 60:02d}",
    }


def _charts(c: Connection, figures: overview.Reliability) -> list[tuple[str, str, Markup]]:
    """(name, title, drawing)."""
    points = overview.curve(c)
    grown = charts.NOTHING
    if len(points) > 1:
        grown = charts.line(
            f"Answers from {day(points[0][0])} to {day(points[-1][0])} UTC",
            [(float(at), share) for at, share in points],
            (day(points[0][0]), day(points[-1][0])),
        )
    tenths = [f"{k / 10:.1f} to {(k + 1) / 10:.1f}" for k in range(overview.SCORE_BINS)]
    pairs = f"{sum(figures.scores):,} pairs with answers"
    filling = dict(figures.filling)
    most = max(filling, default=0)
    return [
        ("curve", "All stored answers over time", grown),
        (
            "scores",
            "Scores of the pairs",
            charts.bars(
                f"Histogram of the scores of {pairs}", figures.scores, ("0: same meaning", "1: changed"), tenths
            ),
        ),
        (
            "filling",
            "Answers per pair",
            charts.bars(
                f"How many pairs have how many answers, 0 to {most}",
                [filling.get(n, 0) if most else 0 for n in range(most + 1)],
                ("0 answers", f"{most}"),
                [f"{n} answers" for n in range(most + 1)],
            ),
        ),
    ]


def _problems(c: Connection) -> list[tuple[str, str]]:
    """What should be mended before a start, and where."""
    items = pair.c.extra.not_like('%"example": true%')  # worked examples are no practice
    rows = c.execute(select(pair.c.kind, func.count()).where(pair.c.active == 1, items).group_by(pair.c.kind))
    counts = {kind: n for kind, n in rows}
    settings = study_state.facts(c).settings
    found = []
    if not counts.get("main"):
        found.append(("There are no pairs yet.", "/admin/import"))
    if not counts.get("trap"):
        found.append(("There are no traps: people who guess cannot be recognised.", "/admin/import"))
    if counts.get("training", 0) < settings.training.items:
        have = counts.get("training", 0)
        found.append(
            (f"There are {have} practice pairs; the settings ask for {settings.training.items}.", "/admin/import")
        )
    if not settings.contact:
        found.append(("The settings name no contact; people must know who asks.", "/admin/settings#contact"))
    return found


def show(request: AdminRequest) -> Response:
    """GET /admin."""
    with request.database.read() as c:
        progress, figures, facts = _figures(request, c)
        return request.show(
            c,
            "overview.html",
            "/admin",
            "Overview",
            state=facts.state,
            first_start=study_state.live_since(c) is None,
            problems=_problems(c),
            progress=progress,
            shown=_shown(progress, figures, request.now),
            charts=_charts(c, figures),
            backups=backup_page.newest(request.http.state.folder),
        )


def live(request: AdminRequest) -> Response:
    """GET /admin/live.json: `shown` (as printed), `charts` (SVG), and the plain numbers."""
    with request.database.read() as c:
        progress, figures, facts = _figures(request, c)
        drawn = {name: str(drawing) for name, _, drawing in _charts(c, figures)}
    of_progress = (
        "answers",
        "target",
        "pairs",
        "complete",
        "per_hour",
        "hours_left",
        "traps_seen",
        "traps_right",
        "share",
    )
    agreement = figures.agreement
    numbers: dict[str, Any] = {
        "state": facts.state,
        **{name: getattr(progress, name) for name in of_progress},
        "active": progress.people.active,
        "alpha": _json(agreement.alpha),
        "alpha_interval": [_json(agreement.low), _json(agreement.high)],
        "ac1": _json(agreement.ac1),
        "split_half": _json(figures.split_half),
    }
    return JSONResponse({"numbers": numbers, "shown": _shown(progress, figures, request.now), "charts": drawn})


def _json(value: float) -> float | None:
    return None if math.isnan(value) else value


def set_state(request: AdminRequest) -> Response:
    """POST /admin/state: start (the first time with `sure`), pause, close."""
    wanted = request.required("state", 20)
    with request.database.write() as c:
        if wanted == "live" and study_state.live_since(c) is None and request.text("sure") != "yes":
            raise Problem(
                400, "bad_request", "Tick that you have read the settings: the first start locks some of them."
            )
        study_state.set_state(c, wanted, request.admin, request.now)
    return done("/admin", wanted)


ROUTES = [see("/admin", show), see("/admin/live.json", live), change("/admin/state", set_state)]
