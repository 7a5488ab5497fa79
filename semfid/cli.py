"""The command line: arguments in, exit code out. The work stands in `semfid.commands`, imported only when it is asked for.

Exit codes: 0 fine, 1 a variant failed, 2 a mistake that the user can mend, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence

from semfid.runtime.system_faults import remedy, said
from semfid.study import add_study_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a name, or the ± of a table, that an ASCII stream cannot take ends nothing
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings(
        "ignore", module=r"PIL\."
    )  # of metadata, which nobody reads; the decoder names what matters
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest:  # argparse does not take key=value after an option
        if not hasattr(arguments, "overrides") or any(word.startswith("-") or "=" not in word for word in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        arguments.overrides += rest
    for setting in getattr(arguments, "overrides", ()):
        if arguments.command != "splice" and any("\ud800" <= character <= "\udfff" for character in setting):
            return _mistake(
                f"{setting}: this holds bytes that are no text here; write it in UTF-8, with LC_ALL=C.UTF-8"
            )
    try:
        return _run(arguments)
    except BrokenPipeError:
        return 0
    except OSError as error:  # a full disk, a folder that cannot be written
        return _mistake(f"{said(error)}; {remedy(error, 'choose another folder')}")
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning turns an interrupt of a training into SystemExit(1)
        if isinstance(error, SystemExit) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        print("semfid: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "score":  # the one command that the wheel has too
        from semfid.runtime.errors import ScoringError

        # before torch starts its threads: waiting ones that spin take the cores from those that work, on a busy machine
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            from semfid.score import score

            return score(arguments)
        except ScoringError as error:
            return _mistake(error)
    from semfid.clone import in_clone

    if not in_clone():
        return _mistake(f"'{arguments.command}' needs the clone of the repository; clone it and run `make quickstart`")
    try:
        from registry import UserError
        from semfid import commands
    except ModuleNotFoundError as error:
        return _mistake(
            f"'{arguments.command}' needs the clone's environment (no module '{error.name}'); run `make quickstart`"
        )
    try:
        command = {
            "ablate": commands.ablate,
            "run": commands.run_one,
            "list": commands.list_registered,
            "scenes": commands.scenes,
            "export": commands.export,
            "label": commands.label,
            "build": commands.build,
            "splice": commands.splice,
            "study": commands.study,
        }[arguments.command]
        return command(arguments)
    except UserError as error:
        return _mistake(error)


def _mistake(error: Exception | str) -> int:
    print(f"semfid: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="semfid", description="Train, compare and use metrics of semantic fidelity in super-resolution."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    ablate = commands.add_parser("ablate", help="run every variant of an experiment that is not done; print the table")
    _experiment(ablate)
    ablate.add_argument("--jobs", type=_positive, default=1, metavar="N", help="variants side by side, one per GPU")

    run = commands.add_parser("run", help="train and evaluate one variant")
    _experiment(run)
    run.add_argument(
        "--variant", type=_positive, metavar="I", help="the I-th variant of the sweep (default: without sweep)"
    )

    run.add_argument("--pretraining", action="store_true", help="only the pretraining that the variant asks for")

    listing = commands.add_parser("list", help="what is registered, from where, with its keywords")
    listing.add_argument("kind", nargs="?", help="backbones, heads, ... (default: all)")
    listing.add_argument("--plugins", nargs="*", default=[], metavar="P", help="modules or files to import first")

    scenes = commands.add_parser("scenes", help="write the embedded scenes to a folder")
    scenes.add_argument("out", metavar="OUT")
    scenes.add_argument(
        "settings", nargs="*", metavar="key=value", help="format=pairs|coco|images|regions scenes=N size=128 seed=0 ..."
    )
    _score_arguments(commands.add_parser("score", help="how much the meaning differs: two images, or two folders"))

    label = commands.add_parser("label", help="labels from models: captions, differences in meaning, difference maps")
    label.add_argument("what", choices=["maps", "captions", "c2c", "c2i", "i2i"])
    label.add_argument("table", metavar="TABLE", help="a pair table")
    label.add_argument("--out", required=True, metavar="OUT.csv", help="the table with the labels; may be .parquet")
    label.add_argument("--config", metavar="FILE.yaml", help="the keys below, as a file")
    label.add_argument(
        "--shard", metavar="I/N", help="part I (from 0) of N; default: this process's rank, else all; not of maps"
    )
    label.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="maps: segmenter.name captioner.name embedder.name (and their keywords) prompt contour min_area map_format "
        "batch_size device folder; the others: captioner.name embedder.name tower.name prompt captions pairs "
        "drop_unlabelled batch_size device cache",
    )

    splice = commands.add_parser("splice", help="which concepts a candidate keeps, loses and gains, in words")
    splice.add_argument("--pairs", metavar="TABLE.csv", help="pair_id, reference, candidate in place of two folders")
    splice.add_argument("--out", metavar="FILE", help="a chart, .png or .svg; of two folders: a table, .csv")
    splice.add_argument("--json", metavar="FILE", help="all concepts and figures")
    splice.add_argument("--run", metavar="RUN", help="explain the learned score of a run with concepts in words")
    splice.add_argument(
        "--part", type=int, metavar="I", help="of --run: the fold whose head is used (default: the mean of all)"
    )
    splice.add_argument(
        "overrides",
        nargs="*",
        metavar="REFERENCE CANDIDATE key=value",
        help="two images, or two folders paired as `semfid score` does; tower=scenes_tower tower.model=ViT-B-32 "
        "image_mean=PHOTOS vocabulary=english size=10000 l1=0.25 concepts=12 strategy=nonsymmetric|symmetric|nouns "
        "solver=lasso|lars|admm top=12",
    )

    build = commands.add_parser("build", help="build a data set from photos, or check one that was built")
    build.add_argument("what", choices=["edits", "inpainting", "sr-outputs", "import", "verify"])
    build.add_argument("config", metavar="CONFIG.yaml | FOLDER", help="the settings; for import and verify: a folder")
    build.add_argument("overrides", nargs="*", metavar="key=value", help="such as out=built inpainter.steps=20")
    build.add_argument("--shard", metavar="I/N", help="part I (from 0) of N; default: this process's rank, else all")
    build.add_argument("--retry-failed", action="store_true", help="make units again that ended in an error")
    build.add_argument("--preview", action="store_true", help="make a few units, a contact sheet and an estimate")
    build.add_argument("--limit", type=_positive, metavar="N", help="only the first N photos (of the shard)")
    build.add_argument("--out", metavar="TABLE", help="of import: the pair table to write, .csv or .parquet")

    add_study_parser(commands)

    export = commands.add_parser("export", help="a finished run as one file that scores without this repository")
    export.add_argument("run", metavar="RUN", help="runs/<experiment>/<variant>-<hash>")
    export.add_argument("--format", choices=["torch", "onnx"], default="torch")
    export.add_argument("--out", metavar="FILE", help="default: scorer.pt2 or scorer.onnx in the run folder")
    export.add_argument("--part", type=int, metavar="I", help="the fold whose head is used (default: the mean of all)")
    export.add_argument("--replace", action="store_true", help="write over a file that exists")
    return parser


def _score_arguments(score: argparse.ArgumentParser) -> None:
    score.add_argument("reference", nargs="?", metavar="REFERENCE", help="an image, or a folder of them")
    score.add_argument(
        "candidate", nargs="?", metavar="CANDIDATE", help="the same; names as the reference's, or <model>_<name>"
    )
    score.add_argument(
        "--run", metavar="RUN", help="a run folder, or a file of `semfid export` (default: semfid's metric)"
    )
    score.add_argument("--pairs", metavar="TABLE.csv", help="pair_id, reference, candidate in place of two folders")
    score.add_argument("--out", metavar="FILE", help=".csv, .json or .parquet; resumable (default: CSV on the screen)")
    score.add_argument("--map", metavar="DIR", help="write raw maps, heat maps and overlays")
    score.add_argument(
        "--map-scale", default="unit", metavar="S", help="top of the pictures' scale: unit (1), a number, or auto"
    )
    score.add_argument("--size", default="train", help="train (as the metric was trained), native, or pixels a side")
    score.add_argument(
        "--fit",
        choices=["refuse", "crop"],
        default="refuse",
        help="crop: images that SR cut to a multiple of its scale",
    )
    score.add_argument("--strict", action="store_true", help="fail where a name finds no partner")
    score.add_argument("--part", type=int, metavar="I", help="the fold whose head is used (default: the mean of all)")
    score.add_argument("--precision", choices=["32", "bf16", "fp16"], default="32", help="of the trunk")
    score.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")


def _experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="FILE.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as seed=1 or model.optimizer.lr=1e-3")
    parser.add_argument(
        "--check", action="store_true", help="validate configuration and data, read every image, train nothing"
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
