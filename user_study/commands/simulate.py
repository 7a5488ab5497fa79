"""`semfid study simulate`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from semfid.progress import progress
from user_study.core.errors import StudyError
from user_study.exports.export import export
from user_study.simulation.people import cast, parse_mix
from user_study.simulation.running import Plan
from user_study.simulation.study import simulate, simulated_study, train

MIX = {"honest": 0.7, "coin": 0.1, "one_key": 0.075, "hasty": 0.075, "inconsistent": 0.05}
MOST = 2_000
SHARE_OF_HONEST = 0.85  # the quota that a new study gets: reached although some of the people are excluded


def run(arguments: argparse.Namespace) -> int:
    """Let simulated people take part in a study, and say what they prove."""
    if not 1 <= arguments.participants <= MOST:
        raise StudyError(f"--participants {arguments.participants}: use 1 to {MOST}")
    if arguments.train and arguments.out is None:
        raise StudyError("--train trains on the export: say where to with --out OUT")
    if arguments.url is not None and arguments.folder is None:
        raise StudyError(
            "--url needs the folder of the study that the server serves: what people see is looked up there"
        )
    mix = MIX if arguments.mix is None else parse_mix(arguments.mix)
    people = cast(arguments.participants, mix, arguments.seed)
    honest = sum(person.kind == "honest" for person in people)
    quota = arguments.quota or max(1, int(SHARE_OF_HONEST * honest))
    # not everybody at once: quotas that an exclusion opens again are filled by those who come later
    together = max(4, len(people) // 5)
    wait = 0.0 if arguments.url is None else 1.0
    plan = Plan(together, wait, arguments.limit, arguments.name)
    with contextlib.ExitStack() as stack:
        if arguments.folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="semfid-study-"))) / "study"
        else:
            folder = Path(arguments.folder)
        study = stack.enter_context(simulated_study(folder, quota))
        with progress("people", sys.stderr.isatty()) as advance:
            report = simulate(study, people, arguments.url, plan, advance)
        print("\n".join(report.lines()))
        if arguments.out is not None:
            for file in export(study.database, study.images, arguments.out):
                print(file)
    if arguments.train:
        return train(Path(arguments.out) / "pairs.csv")
    return 0
