"""The flags of float32 products are set inside, and are as before afterwards; a GPU agrees with a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from semfid.scoring.arithmetic import exact_products, float32_products
from semfid.scoring.scorer import Scorer

BACKENDS = torch.backends


def flags() -> tuple[Any, ...]:
    operations = (BACKENDS.cuda.matmul, BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn, BACKENDS.mkldnn.matmul)
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:  # as torch says where the older and the newer names were set apart
        older = "apart"
    return (*(operation.fp32_precision for operation in operations), older)


def older() -> tuple[bool, bool]:
    return BACKENDS.cuda.matmul.allow_tf32, BACKENDS.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    with float32_products():  # whatever a test sets, the next one finds the flags of the process
        BACKENDS.cudnn.allow_tf32 = True  # PyTorch's defaults
        BACKENDS.cudnn.conv.fp32_precision = BACKENDS.cudnn.rnn.fp32_precision = "tf32"
        yield


CHOICES: dict[str, Callable[[], Any]] = {
    "defaults": lambda: None,
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "older names": lambda: setattr(BACKENDS.cudnn, "allow_tf32", False),
    "matmul alone": lambda: setattr(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
    "convolutions alone": lambda: setattr(BACKENDS.cudnn.conv, "fp32_precision", "ieee"),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("tf32", "word"), [(False, "ieee"), (True, "tf32")])
def test_set_inside_and_restored(choice: str, tf32: bool, word: str) -> None:
    CHOICES[choice]()
    before = flags()
    with float32_products(tf32):
        assert flags()[:3] == (word,) * 3
        assert older() == (tf32, tf32), "what reads the older names, as compilers do, sees the same"
        assert flags()[4] == ("high" if tf32 else "highest")
        with float32_products(not tf32):
            assert flags()[0] != word
        assert flags()[:3] == (word,) * 3
    assert flags()[:4] == before[:4] and before[4] in (flags()[4], "apart")


def test_restored_after_an_error() -> None:
    before = flags()
    with pytest.raises(RuntimeError, match="stop"), float32_products():
        raise RuntimeError("stop")
    assert flags() == before and older() == (False, True)


def test_a_cpu_changes_no_flags() -> None:
    with exact_products("cpu"), exact_products(torch.device("cpu")):
        assert BACKENDS.cudnn.conv.fp32_precision == "tf32"
    with exact_products("cuda:1"):
        assert BACKENDS.cudnn.conv.fp32_precision == "ieee"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: that it agrees with a CPU cannot be tried")
@pytest.mark.parametrize("normalize", ["none", "unit"])
def test_a_gpu_agrees_with_a_cpu(normalize: str) -> None:
    from backbones import build_backbone
    from heads import build_head
    from lightning_modules.scorer import RunScorer
    from semfid.scoring.scorer import Facts

    backbone = build_backbone("resnet50_imagenet", {"pretrained": "none"})
    head = build_head("lpips_linear", backbone, {"depth": 4, "normalize": normalize, "weights": "nonnegative"})
    scorer: Scorer = RunScorer(backbone, [head], Facts("t/run", "none", 224, "squash", False, True, {}))
    x, y = torch.rand(4, 3, 224, 224), torch.rand(4, 3, 224, 224)
    found = []
    for device in ("cpu", "cuda"):
        with torch.inference_mode(), exact_products(device):
            found.append(scorer.to(device)(x.to(device), y.to(device)).cpu())
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
