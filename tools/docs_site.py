"""Hooks of the documentation site: a page per registry, pages of the API, links that leave the folder of the documentation."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402

from engine.commands.listing import listing  # noqa: E402
from registry import REGISTRIES  # noqa: E402

OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)]+)\)")

API = {
    "scoring": (
        "Scoring",
        "What `pip install` brings: scores, the torchmetrics metric and the loss.",
        [
            "semfid.scoring.load.load_scorer",
            "semfid.scoring.metric.SemanticDifference",
            "semfid.scoring.loss.SemanticDifferenceLoss",
            "semfid.scoring.scorer.Scorer",
            "semfid.errors.UserError",
        ],
    ),
    "stats": (
        "Statistics",
        "Correlations, intervals, significance and noise ceilings: numpy and scipy only.",
        ["semfid.stats"],
    ),
    "contracts": (
        "Contracts",
        "What a plugin subclasses.",
        [
            "backbones.contract.Backbone",
            "heads.contract.Head",
            "heads.decoders.base.DecoderHead",
            "datamodules.base.PairDataModule",
            "lightning_modules.pair_module.PairModule",
            "lightning_modules.losses.pairs.PairLoss",
            "metrics.TrainingFreeMetric",
            "registry.Registry",
        ],
    ),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for kind in REGISTRIES:
        files.append(File.generated(config, f"registries/{kind}.md", content=registry_page(kind)))
    for name, (title, text, objects) in API.items():
        content = f"# {title}\n\n{text}\n\n" + "\n\n".join(f"::: {one}" for one in objects) + "\n"
        files.append(File.generated(config, f"api/{name}.md", content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Files of the repository that are no pages are named, not linked."""
    return OUTSIDE.sub(lambda match: f"{match[1]} (`{Path(match[2][3:])}`)", markdown)


def registry_page(kind: str) -> str:
    """Every plugin of a kind: what it is, its keywords with defaults, its source and its file."""
    registry = REGISTRIES[kind]
    title = kind.replace("_", " ").capitalize()
    lines = [
        f"# {title}",
        "",
        f"What `semfid list {kind}` prints. A YAML names one by `name`; the other keys are its keywords.",
        "",
    ]
    for row in listing(kind):
        lines += [f"## {row.name}", "", f"{row.summary}.", ""]
        lines += ["```yaml", f"name: {row.name}", *yaml_lines(row.keywords), "```", ""]
        source = f"After {row.source}. " if row.source else ""
        lines += [f"{source}Registered in `{row.location.rpartition(':')[0]}` as a {registry.kind}.", ""]
    return "\n".join(lines)


def yaml_lines(keywords: str) -> list[str]:
    """``depth=3, unit`` as lines of YAML; a keyword without a default is required."""
    if not keywords:
        return []
    # parameters by keyword alone: there, required ones may stand between the others
    (function,) = ast.parse(f"def f(*, {keywords}): ...").body
    assert isinstance(function, ast.FunctionDef)
    pairs = list(zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True))
    required = [f"{one.arg}:  # required" for one, default in pairs if default is None]
    return required + [f"{one.arg}: {_yaml(default)}" for one, default in pairs if default is not None]


def _yaml(node: ast.expr) -> str:
    try:
        return json.dumps(ast.literal_eval(node))
    except (ValueError, TypeError):
        return ast.unparse(node)
