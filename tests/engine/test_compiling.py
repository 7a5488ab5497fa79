"""torch.compile of a training step: where it pays back, and that it changes nothing but rounding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from run_support import SMALL, merged, typed
from torch import Tensor, nn

import engine.training.compiling
from backbones import Backbone
from engine.config.trainer_section import TrainerSection
from engine.training.compiling import PAYS_BACK, compile_where_it_pays, pays_back
from heads.compiled_input import CompiledInput
from heads.inputs import DifferenceGrids, DifferenceMaps, PooledDifferences
from lightning_modules.global_regressor import GlobalRegressor
from semfid.errors import UserError


@dataclass
class Loader:
    batch_size: int = 8
    resize: str = "squash"


@dataclass
class Rows:
    """As much of a datamodule as is asked."""

    count: int
    loader: Loader = field(default_factory=Loader)

    def rows_of(self, part: str) -> np.ndarray:
        assert part == "train"
        return np.arange(self.count)


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)


def config(**changes: Any) -> Any:
    """A configuration of a training of ten epochs on a GPU."""
    own = {"trainer.accelerator": "gpu", "trainer.max_epochs": 10}
    return typed(merged(SMALL, {**own, **{key.replace("__", "."): value for key, value in changes.items()}}))


@pytest.mark.usefixtures("with_gpu")
class TestWhereItPays:
    @pytest.mark.parametrize(("rows", "pays"), [(8 * PAYS_BACK // 10, True), (8 * PAYS_BACK // 10 - 8, False)])
    def test_by_steps(self, rows: int, pays: bool) -> None:
        assert pays_back(Rows(rows), config()) is pays  # type: ignore[arg-type]

    def test_limits_count(self) -> None:
        many = Rows(100_000)
        assert pays_back(many, config())  # type: ignore[arg-type]
        assert not pays_back(many, config(trainer__max_steps=50))  # type: ignore[arg-type]
        assert not pays_back(many, config(trainer__limit_train_batches=5))  # type: ignore[arg-type]

    def test_images_of_any_size_do_not(self) -> None:
        for resize in ("none", "bounded"):
            assert not pays_back(Rows(100_000, Loader(resize=resize)), config())  # type: ignore[arg-type]

    def test_a_cpu_does_not(self) -> None:
        assert not pays_back(Rows(100_000), config(trainer__accelerator="cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "pays", "expected"),
    [("auto", True, True), ("auto", False, False), (True, False, True), (False, True, False)],
)
def test_the_key_has_the_last_word(monkeypatch: pytest.MonkeyPatch, wanted: Any, pays: bool, expected: bool) -> None:
    class Module:
        backbone, compiled = object(), False

        def compile_step(self) -> None:
            self.compiled = True

    monkeypatch.setattr(engine.training.compiling, "pays_back", lambda data, config: pays)
    module: Any = Module()
    assert compile_where_it_pays(module, Rows(8), config(compile=wanted)) is expected  # type: ignore[arg-type]
    assert module.compiled is expected
    module.backbone = None
    assert not compile_where_it_pays(module, Rows(8), config(compile=True))  # type: ignore[arg-type]


def test_other_words_are_refused() -> None:
    assert config().compile == "auto"
    with pytest.raises(UserError, match="compile"):
        config(compile="perhaps")


def test_tf32_is_a_precision() -> None:
    from engine.training.lightning_trainer import make_trainer, products

    section = TrainerSection(**{"accelerator": "cpu", "precision": "tf32"})
    assert section.tf32 and make_trainer(section).precision == "32-true"
    with products(section):
        assert torch.backends.cudnn.conv.fp32_precision == "tf32" and torch.backends.cuda.matmul.allow_tf32
    with products(TrainerSection(**{"accelerator": "cpu"})):
        assert torch.backends.cudnn.conv.fp32_precision == "ieee" and not torch.backends.cudnn.allow_tf32


def features(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, channels, side, side, generator=generator) for channels, side in ((6, 8), (8, 4))]


@pytest.mark.parametrize(
    "inner",
    [
        PooledDifferences(normalize="unit", poolings=("mean", "max")),
        DifferenceGrids(normalize="unit", stride=8, strides=(4, 8)),
        DifferenceMaps(normalize="unit"),
    ],
    ids=str,
)
def test_a_compiled_input_is_the_same(inner: Any) -> None:
    compiled = CompiledInput(inner, "aot_eager")
    assert str(compiled) == str(inner) and compiled.needs == inner.needs and compiled.parts() == inner.parts()
    images = [torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3)]
    found = []
    for own in (inner, compiled):
        x, y = (own.of_features({"stages": features(seed), "images": [images[seed]]}) for seed in (0, 1))
        found.append((own.compare(x, y), own.positions(x, y), own.pooled(own.positions(x, y))))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


class OneStage(Backbone):
    """One convolution: quick to compile."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 5, 3, 2), name="one", channels=[5], strides=[2], embed_dim=5, tuning="full")

    def _stages(self, images: Tensor) -> list[Tensor]:
        return [self.net(images).relu()]


def test_a_compiled_step_has_the_same_gradients() -> None:
    images = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        module = GlobalRegressor(OneStage(), head={"name": "lpips_linear", "depth": 0, "normalize": "unit"})
        if compiled:
            module.compile_step("aot_eager")
        score = module(images[0], images[1])
        score.sum().backward()
        grads = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        found.append((score.detach(), grads))
        assert not any(key.startswith("_compiled") or "_orig_mod" in key for key in module.state_dict())
    assert found[0][1]
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
