"""The command line: arguments in, exit code out.

The wheel has `score` alone; the clone adds the commands of `engine.commands`, imported on demand.

Exit codes: 0 fine, 1 a variant failed, 2 a mistake that the user can fix, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from semfid.clone import clone_module, in_clone
from semfid.errors import UserError
from semfid.io.system_faults import remedy, said
from semfid.logs import messages_on_screen

log = logging.getLogger("semfid")

CLONE_COMMANDS = ("ablate", "run", "list", "scenes", "label", "splice", "build", "models", "study", "export")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a name, or the ± of a table, that an ASCII stream cannot take ends nothing
            stream.reconfigure(errors="backslashreplace")
    # of metadata, which nobody reads; the decoder names what matters
    warnings.filterwarnings("ignore", module=r"PIL\.")
    with messages_on_screen():
        return _exit_code(list(sys.argv[1:] if argv is None else argv))


def _exit_code(words: list[str]) -> int:
    try:
        return _run(_arguments(words))
    except UserError as error:
        return _mistake(error)
    except BrokenPipeError:
        return 0
    except OSError as error:  # a full disk, a folder that cannot be written
        return _mistake(f"{said(error)}; {remedy(error, 'choose another folder')}")
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning turns an interrupt of a training into SystemExit(1)
        if isinstance(error, SystemExit) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        log.error("interrupted; run the same command again to go on")
        return 130


def _arguments(words: list[str]) -> argparse.Namespace:
    """Parsed arguments.

    Raises:
        UserError: a command of the clone outside of it, or an override that is no text.
    """
    command = words[0] if words else ""
    parser = argparse.ArgumentParser(
        prog="semfid", description="Train, compare and use metrics of semantic fidelity in super-resolution."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _score_arguments(commands.add_parser("score", help="how much the meaning differs: two images, or two folders"))
    if command in CLONE_COMMANDS or (command != "score" and in_clone()):
        clone_module("commands", f"'{command}'" if command else "semfid").add_parsers(commands)
    arguments, rest = parser.parse_known_args(words)
    if rest:  # argparse does not take key=value after an option
        if not hasattr(arguments, "overrides") or any(word.startswith("-") or "=" not in word for word in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        arguments.overrides += rest
    for setting in getattr(arguments, "overrides", ()):
        if arguments.command != "splice" and any("\ud800" <= character <= "\udfff" for character in setting):
            raise UserError(
                f"{setting}: this holds bytes that are no text here; write it in UTF-8, with LC_ALL=C.UTF-8"
            )
    return arguments


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command != "score":
        return int(clone_module("commands", f"'{arguments.command}'").run(arguments))
    # before torch starts its threads: waiting ones that spin take the cores from those that work, on a busy machine
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from semfid.scoring.command import run

    return run({key: value for key, value in vars(arguments).items() if key != "command"})


def _mistake(error: Exception | str) -> int:
    line = " ".join(str(error).split())
    log.error(line.encode("utf-8", "backslashreplace").decode())  # a name that is no text, for any handler
    return 2


def _workers(text: str) -> int | str:
    """``auto`` or a number."""
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: give auto, 0, or a number of processes")
    return text if text == "auto" else int(text)


def _score_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `score`, by the names of its parameters."""
    add = parser.add_argument
    add("reference", nargs="?", metavar="REFERENCE", help="an image, or a folder of them")
    add("candidate", nargs="?", metavar="CANDIDATE", help="the same; names as the reference's, or <model>_<name>")
    add("--run", metavar="RUN", help="a run folder, or a file of `semfid export` (default: semfid's metric)")
    add("--pairs", metavar="TABLE.csv", help="pair_id, reference, candidate in place of two folders")
    add("--out", metavar="FILE", help=".csv, .json or .parquet; resumable (default: CSV on the screen)")
    add("--map", dest="maps", metavar="DIR", help="write raw maps, heat maps and overlays")
    add("--map-scale", default="unit", metavar="S", help="top of the pictures' scale: unit (1), a number, or auto")
    add("--size", default="train", help="train (as the metric was trained), native, or pixels a side")
    add(
        "--fit",
        choices=["refuse", "crop"],
        default="refuse",
        help="crop: images that SR cut to a multiple of its scale",
    )
    add("--strict", action="store_true", help="fail where a name finds no partner")
    add("--part", type=int, metavar="I", help="the fold whose head is used (default: the mean of all)")
    add("--precision", choices=["32", "tf32", "bf16", "fp16"], default="32", help="of the backbone")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    add("--workers", type=_workers, default="auto", metavar="N", help="processes that decode images, or auto (default)")
