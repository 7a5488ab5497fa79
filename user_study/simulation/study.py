"""`semfid study simulate`: a study, its server, its people, and what they prove."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import func, select

from semfid.progress import Advance
from user_study.core import study_state
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.folder import StudyFolder, create_study, is_study, open_study
from user_study.core.settings import StudySettings, from_dict
from user_study.database.schema import participant
from user_study.demo import load_demo
from user_study.simulation.local_server import serving
from user_study.simulation.people import SimulatedPerson
from user_study.simulation.report import Report, make_report
from user_study.simulation.running import Outcome, Plan, run_people
from user_study.simulation.truth import read_truth
from user_study.web.app import ServeOptions

SIMULATED = "simulated"  # fact of a study whose people do not exist
EXPERIMENT = Path(__file__).parents[2] / "experiments" / "study_simulated.yaml"


def demo_settings(quota: int) -> StudySettings:
    """More traps and repeats than people would bear: a person sees only forty pairs, and is judged by eight traps or more."""
    return from_dict(
        {"title": "Simulated study", "quota": quota, "trap_rate": 0.3, "repeat_rate": 0.1, "repeat_gap": 8}
    )


@contextlib.contextmanager
def simulated_study(folder: Path, quota: int) -> Iterator[StudyFolder]:
    """Open or make the study to be filled, and set it live.

    Raises:
        StudyError: people have answered in there.
    """
    fresh = not is_study(folder)
    study = create_study(folder, demo_settings(quota)) if fresh else open_study(folder)
    with study:
        if fresh:
            load_demo(study.database, study.images)
        with study.database.write() as c:
            people = c.execute(select(func.count()).select_from(participant)).scalar_one()
            if people and study_state.get(c, SIMULATED) is None:
                raise StudyError(
                    f"{folder}: people take part in this study; simulated answers would mix with theirs. Simulate a new folder"
                )
            study_state.put(c, SIMULATED, "1")
            study_state.set_state(c, "live", "simulation", now_ms())
        yield study


def simulate(
    study: StudyFolder,
    people: Sequence[SimulatedPerson],
    url: str | None = None,
    plan: Plan | None = None,
    progress: Advance | None = None,
) -> Report:
    """Let `people` take part.

    Args:
        url: of a server of this study that runs already: people then take the time that they need. None: an own server, which
            trusts the times that it receives, so that nobody has to wait.

    Raises:
        StudyError: no rates in the study's pairs, or no server.
    """
    with study.database.read() as c:
        truth = read_truth(c)
    plan = plan or Plan(wait=0.0 if url is None else 1.0)
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        if url is None:
            options = ServeOptions(rate_limits=False, trust_client_times=True)
            url = stack.enter_context(serving(study, options))
        outcomes = run_people(url, people, truth, plan, progress)
    _say_why_not(outcomes)
    return make_report(study, outcomes, time.monotonic() - start)


def _say_why_not(outcomes: Sequence[Outcome]) -> None:
    """Nobody got in: then the report would be empty, and not say why."""
    if outcomes and all(outcome.answered == 0 for outcome in outcomes):
        raise StudyError(f"nobody could answer anything: {outcomes[0].ended}")


def train(table: Path) -> int:
    """Train a regressor on an exported pairs.csv, in a process of its own: this room never imports torch.

    Returns:
        Its exit code.

    Raises:
        StudyError: not in a clone of the repository.
    """
    if not EXPERIMENT.is_file():
        raise StudyError(f"--train needs a clone of the repository ({EXPERIMENT.name} is not there)")
    command = [sys.executable, "-m", "semfid.cli", "ablate", str(EXPERIMENT), f"data.answers={table.resolve()}"]
    return subprocess.run(command, cwd=EXPERIMENT.parents[1], check=False).returncode
