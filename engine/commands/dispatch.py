"""The commands that only the clone has: their arguments, and the module behind each, imported on demand.

Each module has typed functions for Python, and ``command``, which prints what they return and gives the exit code.
"""

from __future__ import annotations

import argparse

from engine.commands.study import add_study_parser
from semfid.clone import environment_module

Commands = argparse._SubParsersAction


def add_parsers(commands: Commands) -> None:
    """Add the arguments of every command but `score`."""
    for add in (
        _add_ablate,
        _add_run,
        _add_list,
        _add_scenes,
        _add_label,
        _add_splice,
        _add_build,
        _add_models,
        add_study_parser,
        _add_export,
    ):
        add(commands)


def _add_ablate(commands: Commands) -> None:
    ablate = commands.add_parser("ablate", help="run every variant of an experiment that is not done; print the table")
    _experiment(ablate)
    ablate.add_argument("--jobs", type=_positive, default=1, metavar="N", help="variants side by side, one per GPU")


def _add_run(commands: Commands) -> None:
    run = commands.add_parser("run", help="train and evaluate one variant")
    _experiment(run)
    run.add_argument(
        "--variant", type=_positive, metavar="I", help="the I-th variant of the sweep (default: without sweep)"
    )
    run.add_argument("--pretraining", action="store_true", help="only the pretraining that the variant asks for")


def _add_list(commands: Commands) -> None:
    listing = commands.add_parser("list", help="what is registered, from where, with its keywords")
    listing.add_argument("kind", nargs="?", help="backbones, heads, ... (default: all)")
    listing.add_argument("--schema", metavar="DIR", help="write the JSON schemas of YAML files, for editors")
    listing.add_argument("--plugins", nargs="*", default=[], metavar="P", help="modules or files to import first")


def _add_scenes(commands: Commands) -> None:
    scenes = commands.add_parser("scenes", help="write the embedded scenes to a folder")
    scenes.add_argument("out", metavar="OUT")
    scenes.add_argument(
        "settings", nargs="*", metavar="key=value", help="format=pairs|coco|images|regions scenes=N size=128 seed=0 ..."
    )


def _add_label(commands: Commands) -> None:
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


def _add_splice(commands: Commands) -> None:
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


def _add_build(commands: Commands) -> None:
    build = commands.add_parser("build", help="build a data set from photos, or check one that was built")
    build.add_argument("what", choices=["edits", "inpainting", "sr-outputs", "import", "verify"])
    build.add_argument("config", metavar="CONFIG.yaml | FOLDER", help="the settings; for import and verify: a folder")
    build.add_argument("overrides", nargs="*", metavar="key=value", help="such as out=built inpainter.steps=20")
    build.add_argument("--shard", metavar="I/N", help="part I (from 0) of N; default: this process's rank, else all")
    build.add_argument("--retry-failed", action="store_true", help="make units again that ended in an error")
    build.add_argument("--preview", action="store_true", help="make a few units, a contact sheet and an estimate")
    build.add_argument("--limit", type=_positive, metavar="N", help="only the first N photos (of the shard)")
    build.add_argument("--out", metavar="TABLE", help="of import: the pair table to write, .csv or .parquet")


def _add_models(commands: Commands) -> None:
    models = commands.add_parser("models", help="pretrained models: which there are, get them, check their hashes")
    models.add_argument("what", choices=["list", "get", "check"])
    models.add_argument("names", nargs="*", metavar="NAME", help="names or public ids (default of list and check: all)")
    models.add_argument(
        "--accept", action="append", default=[], metavar="NAME", help="of get: accept the licence of this gated model"
    )
    models.add_argument("--json", action="store_true", help="of list and get: print JSON")


def _add_export(commands: Commands) -> None:
    export = commands.add_parser("export", help="a finished run as one file that scores without this repository")
    export.add_argument("run", metavar="RUN", help="runs/<experiment>/<variant>-<hash>")
    export.add_argument("--format", choices=["torch", "onnx"], default="torch")
    export.add_argument("--out", metavar="FILE", help="default: scorer.pt2 or scorer.onnx in the run folder")
    export.add_argument("--part", type=int, metavar="I", help="the fold whose head is used (default: the mean of all)")
    export.add_argument("--replace", action="store_true", help="write over a file that exists")


def run(arguments: argparse.Namespace) -> int:
    """Run the command that the arguments name and return its exit code.

    Raises:
        UserError: a library that it needs is missing.
    """
    module = environment_module(f"engine.commands.{arguments.command}", f"'{arguments.command}'")
    return int(module.command(arguments))


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
