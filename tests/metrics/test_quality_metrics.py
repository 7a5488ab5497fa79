"""One contract for every no-reference quality, and the door that the builder of SR outputs finds them by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyiqa_stand_in import pyiqa_in_place
from torch import Tensor

from data_tools.builders.sr_outputs.scores import quality_of
from metrics import QualityMetric
from metrics.sharpness import deblocked_sharpness
from registry import QUALITY_METRICS
from semfid.errors import UserError
from semfid.io.images import load_pixels

CASES: dict[str, dict[str, Any]] = {"pyiqa": {"metric": "niqe", "device": "cpu"}}


@pytest.fixture(autouse=True)
def stand_in() -> Iterator[None]:
    with pyiqa_in_place():
        yield


def blurred(image: Tensor, times: int) -> Tensor:
    for _ in range(times):
        image = torch.nn.functional.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)
    return image


@pytest.mark.parametrize("name", QUALITY_METRICS.names())
class TestQualityContract:
    def metric(self, name: str) -> QualityMetric:
        made = QUALITY_METRICS.build(name, **CASES.get(name, {})).eval()
        assert isinstance(made, QualityMetric)
        return made

    def test_one_number_per_image_whatever_stands_beside_it(self, name: str) -> None:
        images = torch.rand(4, 3, 40, 48)
        together = self.metric(name)(images)
        assert together.shape == (4,) and together.dtype == torch.float32 and together.isfinite().all()
        alone = torch.cat([self.metric(name)(image[None]) for image in images])
        torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-6)

    def test_sharper_is_better(self, name: str, test_data: Callable[[str], Path]) -> None:
        file = sorted(test_data("koniq_photos").glob("*.jpg"))[0]
        photo = torch.from_numpy(load_pixels(file, 384, "squash")).float()[None] / 255
        found = self.metric(name)(torch.cat([blurred(photo, times) for times in (0, 1, 3, 9)]))
        assert (found.diff() < 0).all(), "larger is better, everywhere in this project"


def test_the_builder_takes_them_by_name() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    named: Any = quality_of("deblocked_sharpness")
    assert named(image) == pytest.approx(deblocked_sharpness(image), abs=1e-6)
    musiq: Any = quality_of({"name": "pyiqa", "metric": "musiq", "device": "cpu"})
    assert musiq(image) == pytest.approx((image / 255).std(ddof=1), abs=1e-5)
    with pytest.raises(UserError, match=r"scores.quality: no-reference quality 'pyiqa' needs the keyword 'metric'"):
        quality_of("pyiqa")
    with pytest.raises(
        UserError,
        match=r"neither one of blur_effect, clearness, deblocked_sharpness, pyiqa nor module:function; did you mean 'clear",
    ):
        quality_of("clearnes")
    with pytest.raises(UserError, match=r"scores.quality: pyiqa: 'psnr' compares two images"):
        quality_of({"name": "pyiqa", "metric": "psnr", "device": "cpu"})
