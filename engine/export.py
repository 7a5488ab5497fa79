"""A finished run as one file that scores without this repository: torch.export or ONNX, with a model card beside it."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._sympy.value_ranges import ValueRanges

from heads.inputs import input_of
from lightning_modules.scorer import RunScorer, compare, load_run, maps
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.scoring.exported import FACTS, FORMAT, MAPS
from semfid.scoring.scorer import SMALLEST, Description

Format = Literal["torch", "onnx"]
ENDING = {"torch": ".pt2", "onnx": ".onnx"}


class _Describe(nn.Module):
    def __init__(self, scorer: RunScorer) -> None:
        super().__init__()
        self.backbone = scorer.backbone
        self._input = input_of(scorer.heads[0])

    def forward(self, images: Tensor) -> Description:
        return self._input.describe(self.backbone, images)


class _Compare(nn.Module):
    def __init__(self, scorer: RunScorer) -> None:
        super().__init__()
        self.heads = scorer.heads

    def forward(self, reference: Description, candidate: Description) -> Tensor:
        return compare(self.heads, reference, candidate)


class _Maps(nn.Module):
    def __init__(self, scorer: RunScorer) -> None:
        super().__init__()
        self.heads = scorer.heads

    def forward(self, reference: Description, candidate: Description) -> Tensor:
        return maps(self.heads, reference, candidate)


class _Score(nn.Module):
    """``f(reference, candidate) -> difference``, its two parts kept apart."""

    def __init__(self, scorer: RunScorer) -> None:
        super().__init__()
        self.describe, self.compare = _Describe(scorer), _Compare(scorer)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        return self.compare(self.describe(reference), self.describe(candidate))  # type: ignore[no-any-return]


class _ScoreAndMap(nn.Module):
    """``f(reference, candidate) -> (difference, map)``."""

    def __init__(self, scorer: RunScorer) -> None:
        super().__init__()
        self.describe, self.compare, self.maps = _Describe(scorer), _Compare(scorer), _Maps(scorer)

    def forward(self, reference: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.describe(reference), self.describe(candidate)
        return self.compare(x, y), self.maps(x, y)


def export_run(run: Path, form: Format, out: Path | None, part: int | None, replace: bool) -> Path:
    """Write the scorer of a finished run to one file, and ``<file>.md``, its model card.

    Args:
        out: None: ``scorer.pt2`` or ``scorer.onnx`` in the run folder.
        part: see `lightning_modules.scorer.load_run`.
        replace: write over a file that exists.

    Returns:
        The file.

    Raises:
        UserError: as `load_run`; the target exists or has the other format's ending; the backbone cannot be exported.
    """
    target = out if out is not None else run / f"scorer{ENDING[form]}"
    if target.suffix in ENDING.values() and target.suffix != ENDING[form]:
        raise UserError(f"--out {target} does not go with --format {form}, whose files end in {ENDING[form]}")
    if target.exists() and not replace:
        raise UserError(f"{target} exists; choose another --out, or --replace it")
    scorer = load_run(run, part)
    if not scorer.backbone.exportable:
        raise UserError(
            f"{run}: its backbone cannot be exported ({scorer.backbone.why_not}); use `semfid score --run` in the clone"
        )
    content = _torch_file(scorer) if form == "torch" else _onnx_file(scorer)
    write_whole(target, content)
    write_whole(target.with_name(f"{target.name}.md"), _card(run, scorer, form, target.name).encode())
    return target


def _facts(scorer: RunScorer) -> str:
    return json.dumps({"format": FORMAT, "facts": dataclasses.asdict(scorer.facts)})


def _images(scorer: RunScorer) -> tuple[Tensor, Tensor]:
    side = scorer.facts.image_size
    height, width = (side, side) if scorer.facts.fixed_size else (96, 128)  # unequal: two symbols, not one
    generator = torch.Generator().manual_seed(0)
    reference, candidate = (torch.rand(3, 3, height, width, generator=generator) for _ in range(2))
    return reference, candidate


def _axes(scorer: RunScorer) -> dict[int, Any]:
    dynamic = torch.export.Dim.AUTO
    return {0: dynamic} if scorer.facts.fixed_size else {0: dynamic, 2: dynamic, 3: dynamic}


def _export(module: nn.Module, inputs: tuple[Any, ...], axes: Any, parts: tuple[str, ...]) -> Any:
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, inputs, dynamic_shapes=axes, preserve_module_call_signature=parts)
    except (RuntimeError, ValueError, torch._dynamo.exc.TorchDynamoException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"this run's backbone cannot be exported by torch {torch.__version__}: {reason}") from error
    # torch's own shape rules for pooling ask whether sizes are even, and would keep the answer as a condition; the
    # program holds for all sizes (a test scores odd ones)
    program._guards_code = []
    for (
        symbol,
        limits,
    ) in program.range_constraints.items():  # nor is 33 the smallest side where a stage becomes 1x1 at 32
        program.range_constraints[symbol] = ValueRanges(min(limits.lower, SMALLEST), limits.upper)
    program.example_inputs = None  # or they would be saved too
    return program


def _torch_file(scorer: RunScorer) -> bytes:
    images = _images(scorer)
    axes = _axes(scorer)
    program = _export(_Score(scorer).eval(), images, (axes, axes), ("describe", "compare"))
    extra: dict[str, str] = {FACTS: _facts(scorer)}
    if scorer.facts.gives_maps:
        with torch.no_grad():
            described = scorer.describe(images[0]), scorer.describe(images[1])
        taps = tuple(axes for _ in described[0])
        program_of_maps = _export(_Maps(scorer).eval(), described, (taps, taps), ())
        extra[MAPS] = base64.b64encode(_saved(program_of_maps, {})).decode()
    return _saved(program, extra)


def _saved(program: Any, extra: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has doubts about channels-last weights; a test compares the scores
        torch.export.save(program, buffer, extra_files=extra)
    return buffer.getvalue()


def _onnx_file(scorer: RunScorer) -> bytes:
    try:
        import onnxscript  # noqa: F401 - torch.onnx asks for it in the middle of its work
    except ModuleNotFoundError as error:
        raise UserError(
            "export to ONNX needs the packages onnx and onnxscript: pip install -r requirements.txt"
        ) from error
    axes = _axes(scorer)
    outputs = ["difference", "map"] if scorer.facts.gives_maps else ["difference"]
    module = (_ScoreAndMap(scorer) if scorer.facts.gives_maps else _Score(scorer)).eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "scorer.onnx"
        try:
            program = torch.onnx.export(
                module,
                _images(scorer),
                dynamo=True,
                verbose=False,
                input_names=["reference", "candidate"],
                output_names=outputs,
                dynamic_shapes=(axes, axes),
            )
        except torch.onnx.OnnxExporterError as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"this run's backbone cannot be exported to ONNX: {reason}; use --format torch") from error
        assert program is not None  # dynamo=True returns one
        program.model.metadata_props["semfid"] = _facts(scorer)
        program.save(str(path), external_data=False)
        return path.read_bytes()


def _card(run: Path, scorer: RunScorer, form: Format, name: str) -> str:
    facts = scorer.facts
    provenance = json.loads((run / "provenance.json").read_text())
    figures = json.loads((run / "metrics.json").read_text())
    level = f"{figures.get('level', 0.95):.0%}"
    rows = []
    for key, words in (("srcc", "SRCC"), ("krcc", "KRCC"), ("plcc", "PLCC"), ("mse", "MSE"), ("mae", "MAE")):
        value = figures["pooled"].get(key)
        low, high = figures.get("interval", {}).get(key) or (None, None)
        shown = "constant" if value is None else f"{value:.4f}"
        rows.append(f"| {words} | {shown} | {'' if low is None or high is None else f'{low:.4f} to {high:.4f}'} |")
    sizes = (
        f"{facts.image_size}x{facts.image_size} only"
        if facts.fixed_size
        else f"any of at least 32x32; trained on {facts.image_size}x{facts.image_size} ({facts.resize})"
    )
    use = _TORCH_USE if form == "torch" else _ONNX_USE
    origin = {
        key: provenance.get(key) for key in ("commit", "seed", "table", "table_hash", "trunk_identity", "versions")
    }
    return _CARD.format(
        name=name,
        run=facts.run,
        weights=facts.weights_hash,
        folds=len(scorer.heads),
        sizes=sizes,
        maps="difference per position, grid of the finest stage used" if facts.gives_maps else "none",
        pairs=figures["pooled"].get("n"),
        level=level,
        rows="\n".join(rows),
        leaky="\n**LEAKY**: pairs of one photo stood on both sides of the split; these figures are too good.\n"
        if provenance.get("leaky")
        else "",
        use=use.format(name=name),
        provenance=json.dumps(origin, indent=2),
        config=(run / "config.yaml").read_text().strip(),
    )


_CARD = """# {name}

How much the meaning differs between a photo and what a super-resolution model made of it: 0 = same meaning,
1 = every rater would report a change. Exported from the run `{run}` (weights {weights}, heads averaged: {folds}).

* input: `reference`, `candidate`, each (B, 3, H, W) float32 RGB in [0, 1]; sizes: {sizes}
* output: `difference` (B,); maps: {maps}

## Figures on the run's test part ({pairs} pairs)

| figure | value | {level} interval |
|---|---|---|
{rows}
{leaky}
They hold for pairs like those of its data; on others, look before you believe.

## Use

{use}
## Provenance

```json
{provenance}
```

```yaml
{config}
```
"""

_TORCH_USE = """```python
import torch

score = torch.export.load("{name}").module()
difference = score(reference, candidate)
```

or with `pip install semfid`: `SemanticDifference("{name}")`, `SemanticDifferenceLoss("{name}")`, and in a shell
`semfid score REFERENCES CANDIDATES --run {name}`.
"""

_ONNX_USE = """```python
import onnxruntime

session = onnxruntime.InferenceSession("{name}")
difference = session.run(["difference"], {{"reference": reference, "candidate": candidate}})[0]
```
"""
