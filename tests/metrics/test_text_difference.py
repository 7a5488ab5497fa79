"""The metric `text_difference` with the real OCR networks, on drawn text and on real photos; skipped where they are missing."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from registry import METRICS
from semfid.errors import UserError
from semfid.scoring.text import available, compare_text, describe, missing, text_comparer

ROOT = Path(__file__).resolve().parents[2]
SIDE = 256  # pixels that small images are brought to in these tests

pytestmark = pytest.mark.skipif(not available(), reason=missing())


@pytest.fixture(scope="module")
def metric():
    return METRICS.build("text_difference", side=SIDE)


def sign(*texts: tuple[str, int, int], size: tuple[int, int] = (256, 160), turn: int = 0) -> Image.Image:
    """Dark text of 26 pixels on a light board."""
    picture = Image.new("RGB", size, (235, 225, 190))
    for content, x, y in texts:
        ImageDraw.Draw(picture).text((x, y), content, fill=(30, 40, 90), font=ImageFont.load_default(size=26))
    return picture.rotate(turn, expand=True)


def planes(*pictures: Image.Image) -> Tensor:
    """(B, 3, H, W) in [0, 1]."""
    return torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures]) / 255.0


def compressed(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


TWO = (("OUTDOOR", 20, 20), ("LIBRARY", 110, 100))


class TestOnDrawnText:
    def test_words_are_read_and_named(self, metric) -> None:
        after = sign(("SUTOOOR", 20, 20), TWO[1])
        change = compare_text(sign(*TWO), np.asarray(after), metric.comparer)
        assert describe(change) == "text: OUTDOOR -> SUTOOOR (changed); 1 word kept"
        assert change.difference == pytest.approx(0.5 * 4 / 7, abs=0.03)

    def test_scores_and_maps(self, metric) -> None:
        reference = planes(sign(*TWO), sign(*TWO), sign(*TWO), sign())
        candidate = planes(sign(*TWO), sign(TWO[1]), sign(), sign(*TWO))
        score, maps = metric(reference, candidate), metric.maps(reference, candidate)
        assert score[0] == 0 and score[3] == 0, "nothing changed, and nothing was there to read"
        assert score[1].item() == pytest.approx(0.5, abs=0.03) and score[2] == 1
        assert (maps[0] == 0).all() and (maps[3] == 0).all()
        lost = maps[1, 0]
        assert lost[24:42, 24:130].mean() > 0.95 and (lost[60:] == 0).all() and (lost[:, 160:] == 0).all()
        assert maps[2, 0, 104:122, 130:200].mean() > 0.95
        assert not torch.allclose(metric(candidate, reference), score), "what is written in the reference counts"

    @pytest.mark.parametrize("turn", [90, 270, 8])
    def test_text_that_runs_up_down_or_askew(self, metric, turn: int) -> None:
        before, after = sign(("HARVEST", 40, 60), turn=turn), sign(("HARBOUR", 40, 60), turn=turn)
        (word,) = compare_text(before, after, metric.comparer).words
        assert (word.status, word.reference, word.candidate) == ("changed", "HARVEST", "HARBOUR")

    def test_mild_compression_and_a_small_shift_change_nothing(self, metric) -> None:
        before = sign(*TWO)
        shifted = sign(("OUTDOOR", 22, 21), ("LIBRARY", 112, 101))
        assert [compare_text(before, compressed(before, q), metric.comparer).difference for q in (75, 50)] == [0, 0]
        assert compare_text(before, shifted, metric.comparer).difference == 0

    def test_a_gained_word(self, metric) -> None:
        change = compare_text(sign(TWO[1]), sign(*TWO), metric.comparer)
        assert change.difference == 0 and describe(change) == "text: OUTDOOR (gained); 1 word kept"

    def test_tiny_and_extreme_images(self, metric) -> None:
        for height, width in ((32, 32), (32, 700), (5, 3)):
            score = metric(torch.ones(1, 3, height, width), torch.rand(1, 3, height, width))
            assert 0 <= score.item() <= 1


class TestUse:
    def test_identity_and_refusals(self, metric, tmp_path: Path) -> None:
        assert metric.identity.startswith("ppocr-") and metric.identity.endswith("-256")
        with pytest.raises(UserError, match="side of at least 32, not 8"):
            METRICS.build("text_difference", side=8)
        with pytest.raises(UserError, match=r"no file .*ch_PP-OCRv4_det_infer\.onnx; give a folder with"):
            METRICS.build("text_difference", models=str(tmp_path))
        for name in ("ch_PP-OCRv4_det_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx"):
            (tmp_path / name).write_bytes(b"not a network")
        with pytest.raises(
            UserError, match=r"det_infer\.onnx cannot be loaded .*--force-reinstall rapidocr-onnxruntime"
        ):
            METRICS.build("text_difference", models=str(tmp_path))

    def test_nothing_but_the_runtime_is_imported(self, tmp_path: Path) -> None:
        """The wheel in a plain container: no OpenCV, nothing of the clone, nothing heavy before text is asked for."""
        sign(*TWO).save(tmp_path / "a.png")
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); from semfid.scoring import text; "
            "assert not {'scipy', 'onnxruntime'} & set(sys.modules); assert text.available(); "
            f"print(text.describe(text.compare_text({str(tmp_path / 'a.png')!r}, {str(tmp_path / 'a.png')!r}))); "
            "print(sorted({'cv2', 'rapidocr_onnxruntime', 'shapely', 'registry', 'metrics', 'images'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
        assert done.stdout.splitlines() == ["text: 2 words kept", "[]"]


class TestOnRealPhotos:
    def test_a_flag_that_says_outdoor(self, test_data: Callable[[str], Path]) -> None:
        """Real-ESRGAN makes SUTOOOR of OUTDOOR; the network takes the flag's narrow D for an O and doubts its first O."""
        comparer = text_comparer()
        photo, name = test_data("koniq_photos") / "8304722901.jpg", "8304722901.jpg"
        (word,) = compare_text(photo, test_data("koniq_sr") / "realesrgan_x4plus_0.5" / name, comparer).words
        assert word.status == "changed" and word.reference.endswith("UTOOOR") and word.candidate == "SUTOOOR"
        assert word.reference != "SUTOOOR" and word.box.height < 110 and 430 < word.box.x < 470
        gone = compare_text(photo, test_data("koniq_sr") / "realesrgan_x4plus_1.0" / name, comparer)
        assert gone.difference == 1 and gone.words[0].status == "lost"
        with Image.open(photo) as file:
            picture = file.convert("RGB")
        assert compare_text(picture, compressed(picture, 50), comparer).difference == 0
