"""Metrics that hold models: each against another implementation, images looked at once, work that survives being killed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pyiqa_stand_in import pyiqa_in_place
from tiny_plugins import CLIP, Tiny, tiny_plugins
from torch import Tensor

from metrics.memo import EmbeddingMemo, pictures
from models.captioners import build_captioner
from models.dual_encoders import build_dual_encoder
from models.text_encoders import build_text_encoder
from registry import METRICS
from semfid.errors import UserError
from semfid.io.images import load_pixels


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return tiny_plugins(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def photos() -> tuple[Tensor, Tensor]:
    """(4, 3, 40, 48) in 8 bits; the first two pairs share their reference."""
    pixels = torch.randint(0, 256, (6, 3, 40, 48), generator=torch.Generator().manual_seed(1)).float() / 255.0
    return pixels[[0, 0, 1, 2]], pixels[[3, 4, 5, 0]]


class TestEmbeddingMemo:
    def test_each_distinct_image_goes_through_once(self) -> None:
        seen: list[int] = []

        def compute(images: Tensor) -> Tensor:
            seen.append(len(images))
            return images.mean(dim=(1, 2, 3)).unsqueeze(1)

        images = torch.rand(5, 3, 4, 4)
        memo = EmbeddingMemo(compute, most=4)
        expected = images.mean(dim=(1, 2, 3)).unsqueeze(1)
        order = [0, 1, 0, 2, 1]
        torch.testing.assert_close(memo(images[order]), expected[order])
        torch.testing.assert_close(memo(images[[2, 3]]), expected[[2, 3]])
        assert seen == [3, 1] and memo.computed == 4
        memo(images[[4]])  # beyond the limit, the one that was not asked for longest goes
        assert seen == [3, 1, 1]
        memo(images[[2, 3, 4]])
        assert seen == [3, 1, 1]
        memo(images[[0]])
        assert seen == [3, 1, 1, 1]

    def test_gradients_reach_the_images(self, tiny: Tiny) -> None:
        metric = METRICS.build("tower_cosine", tower=tiny.tower, cache=False)
        reference, candidate = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32, requires_grad=True)
        with torch.no_grad():
            alone = metric(reference, candidate)
        score = metric(reference, candidate)
        score.sum().backward()
        assert candidate.grad is not None and candidate.grad.abs().sum() > 0
        torch.testing.assert_close(score.detach(), alone)


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
def test_lpips_is_that_of_its_authors(tmp_path: Path) -> None:
    """Their package, with the same random backbone; a checkpoint of torchvision's layout."""
    import lpips
    import torchvision

    torch.manual_seed(3)
    x, y = torch.rand(3, 3, 64, 72), torch.rand(3, 3, 64, 72)
    backbone = torchvision.models.squeezenet1_1(weights=None)
    torch.save(backbone.state_dict(), tmp_path / "squeeze.pth")
    theirs = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).eval()
    state = backbone.features.state_dict()
    theirs.net.load_state_dict({key: state[key.split(".", 1)[1]] for key in theirs.net.state_dict()})
    own = METRICS.build("lpips", net="squeeze", pretrained=str(tmp_path / "squeeze.pth"))
    with torch.no_grad():
        expected = theirs(x, y, normalize=True).flatten()
    # their eps stands outside the root, torchmetrics' under it: it shows where activations are tiny
    torch.testing.assert_close(own.distance(x, y), expected, rtol=0.02, atol=1e-4)


def test_lpips_without_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import urllib.error

    def refused(*rest: Any, **named: Any) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refused)
    with pytest.raises(
        UserError, match=r"torchvision's weights of squeezenet1_1 .*no route.*put squeezenet1_1-b8a52dc0.pth"
    ):
        METRICS.build("lpips", net="squeeze")
    with pytest.raises(UserError, match=r"lpips: no file .*nothing.pth; download squeezenet"):
        METRICS.build("lpips", net="squeeze", pretrained=str(tmp_path / "nothing.pth"))
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"bad.pth is not torchvision's checkpoint of squeezenet1_1"):
        METRICS.build("lpips", net="squeeze", pretrained=str(tmp_path / "bad.pth"))
    with pytest.raises(UserError, match="at least 32x32"):
        METRICS.build("lpips", net="squeeze", pretrained="none")(torch.rand(1, 3, 20, 40), torch.rand(1, 3, 20, 40))


class TestCosines:
    def test_of_a_tower(self, tiny: Tiny, photos: tuple[Tensor, Tensor]) -> None:
        tower = build_dual_encoder("open_clip", {key: value for key, value in tiny.tower.items() if key != "name"})
        x, y = (tower.embed_images(pictures(images)).astype(np.float64) for images in photos)
        expected = 1 - (x * y).sum(axis=1)
        found = METRICS.build("tower_cosine", tower=tiny.tower, cache=False)(*photos)
        np.testing.assert_allclose(found.numpy(), expected.clip(0, 1), atol=1e-5)
        preset = METRICS.build("clip_cosine", model=CLIP, pretrained="none", cache=False)(*photos)
        np.testing.assert_allclose(preset.numpy(), found.numpy(), atol=1e-5)

    def test_of_a_vision_transformer_at_the_size_that_it_takes(self, photos: tuple[Tensor, Tensor]) -> None:
        import timm
        from torchvision.transforms.v2.functional import InterpolationMode, resize

        metric = METRICS.build("dinov2_cosine", model="test_vit", pretrained="none", image_size=64, cache=False)
        net = metric.backbone.net.eval()
        assert isinstance(net, timm.models.VisionTransformer) and tuple(net.patch_embed.img_size) == (64, 64)
        with torch.no_grad():
            x, y = (
                net(
                    metric.backbone._normalise(
                        resize(images, [64, 64], InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
                    )
                )
                for images in photos
            )
        torch.testing.assert_close(
            metric(*photos), (1 - torch.cosine_similarity(x, y)).clamp(0, 1), atol=1e-5, rtol=1e-4
        )

    def test_a_size_that_it_cannot_take(self) -> None:
        with pytest.raises(UserError, match=r"image_size=70 is no multiple of the 16 pixels .*; try 64"):
            METRICS.build("dinov2_cosine", model="test_vit", pretrained="none", image_size=70)
        resnet = {"name": "timm", "model": "test_resnet", "pretrained": "none", "image_size": 64}
        with pytest.raises(UserError, match="takes images of any size; remove image_size"):
            METRICS.build("backbone_cosine", backbone=resnet)

    @pytest.mark.parametrize("name", ["tower_cosine", "backbone_cosine"])
    def test_a_second_run_embeds_nothing(
        self, name: str, tiny: Tiny, photos: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        plugin: dict[str, Any] = {"tower_cosine": {"tower": tiny.tower}}.get(name) or {
            "backbone": {"name": "timm", "model": "test_resnet", "pretrained": "none"}
        }
        first = METRICS.build(name, **plugin)(*photos)
        second = METRICS.build(name, **plugin)

        def never(images: Tensor) -> Tensor:
            raise AssertionError("it was embedded before")

        monkeypatch.setattr(second, "embed", never)
        assert torch.equal(second(*photos), first)
        torch.testing.assert_close(METRICS.build(name, cache=False, **plugin)(*photos), first, atol=1e-6, rtol=1e-4)


class TestCaptions:
    def keywords(self, tiny: Tiny) -> dict[str, Any]:
        return {"captioner": tiny.captions, "embedder": {"name": "hashed_words", "dim": 64}, "prompt": "What is it?"}

    def captions(self, tiny: Tiny, images: Tensor) -> list[str]:
        own = {key: value for key, value in tiny.captions.items() if key != "name"}
        return build_captioner("qwen2_vl", own).caption(pictures(images), "What is it?")

    def test_c2c_and_c2i_are_their_parts(
        self, tiny: Tiny, photos: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        said = [self.captions(tiny, images) for images in photos]
        x, y = (build_text_encoder("hashed_words", {"dim": 64}).embed(texts).astype(np.float64) for texts in said)
        found = METRICS.build("c2c", **self.keywords(tiny))(*photos)
        np.testing.assert_allclose(found.numpy(), (1 - (x * y).sum(axis=1)).clip(0, 1), atol=1e-5)
        tower = build_dual_encoder("open_clip", {key: value for key, value in tiny.tower.items() if key != "name"})
        texts, seen = tower.embed_texts(said[0]).astype(np.float64), tower.embed_images(pictures(photos[1]))
        found = METRICS.build("c2i", captioner=tiny.captions, tower=tiny.tower, prompt="What is it?")(*photos)
        np.testing.assert_allclose(found.numpy(), (1 - (texts * seen).sum(axis=1)).clip(0, 1), atol=1e-5)

    def test_what_a_killed_run_had_captioned_is_not_captioned_again(
        self, tiny: Tiny, photos: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        shown: list[bytes] = []

        def counted(metric: Any, most: int) -> Any:
            own = metric.captioner._caption

            def caption(images: list[Image.Image], prompt: str) -> list[str]:
                if len(shown) + len(images) > most:
                    raise KeyboardInterrupt
                shown.extend(image.tobytes() for image in images)
                return own(images, prompt)  # type: ignore[no-any-return]

            monkeypatch.setattr(metric.captioner, "_caption", caption)
            return metric

        whole = METRICS.build("c2c", cache=False, **self.keywords(tiny))(*photos)
        first = counted(METRICS.build("c2c", **self.keywords(tiny)), 3)
        with pytest.raises(KeyboardInterrupt):
            for at in range(4):
                first(photos[0][at : at + 1], photos[1][at : at + 1])
        second = counted(METRICS.build("c2c", **self.keywords(tiny)), 100)
        torch.testing.assert_close(second(*photos), whole)
        assert len(shown) == len(set(shown)) == 6, "six distinct images, each once in two runs"

    def test_an_empty_caption(self, tiny: Tiny, photos: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
        metric = METRICS.build("c2c", cache=False, **self.keywords(tiny))
        empty = {pictures(photos[0][2:3])[0].tobytes(), pictures(photos[0][3:4])[0].tobytes()}

        def caption(images: list[Image.Image], prompt: str) -> list[str]:
            return ["" if image.tobytes() in empty else f"a {image.tobytes()[0]}" for image in images]

        monkeypatch.setattr(metric.captioner, "_caption", caption)
        with pytest.warns(UserWarning, match="2 images have an empty caption"):
            found = metric(torch.cat([photos[0], photos[0][2:3]]), torch.cat([photos[1], photos[0][3:4]]))
        assert found[2] == 1 and found[3] == 1 and found[4] == 0 and found.isfinite().all()
        with pytest.raises(UserError, match="prompt is empty"):
            METRICS.build("c2c", **{**self.keywords(tiny), "prompt": " "})


class TestPyiqa:
    def test_both_directions(self, photos: tuple[Tensor, Tensor]) -> None:
        with pyiqa_in_place():
            lower = METRICS.build("pyiqa", metric="lopsided", device="cpu")
            higher = METRICS.build("pyiqa", metric="psnr", best=100.0, worst=0.0, device="cpu")
            for metric, best, worst in (("psnr", None, None), ("lopsided", 1.0, 0.0)):
                if best is None:  # decibel on a scale from 0 to 1: all of it beyond the best
                    assert (METRICS.build("pyiqa", metric=metric, device="cpu")(*photos) == 0).all()
                    continue
                with pytest.raises(UserError, match="do not fit: lower is better there"):
                    METRICS.build("pyiqa", metric=metric, best=best, worst=worst, device="cpu")
            with pytest.raises(UserError, match="pyiqa has no metric 'lopsidet'; did you mean 'lopsided'"):
                METRICS.build("pyiqa", metric="lopsidet", device="cpu")
            with pytest.raises(UserError, match="'musiq' looks at one image; it is a quality"):
                METRICS.build("pyiqa", metric="musiq", device="cpu")
        reference, candidate = photos
        expected = ((candidate - reference).square() * (0.5 + reference)).mean(dim=(1, 2, 3))
        torch.testing.assert_close(lower(reference, candidate), expected.clamp(0, 1))
        torch.testing.assert_close(higher(reference, candidate), METRICS.build("psnr")(reference, candidate))

    def test_it_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyiqa", None)
        with pytest.raises(UserError, match=r"pyiqa is not installed .* its licence is non-commercial"):
            METRICS.build("pyiqa", metric="dists")


def test_a_real_photo(test_data: Any, tiny: Tiny) -> None:
    """A blurred copy is nearer than another photo."""
    files = sorted(test_data("koniq_photos").glob("*.jpg"))[:2]
    photo, other = (torch.from_numpy(load_pixels(file, 96, "squash")).float()[None] / 255 for file in files)
    blurred = torch.nn.functional.avg_pool2d(photo, 3, stride=1, padding=1, count_include_pad=False)
    backbone = test_data("trunks") / "resnet18_tiny_imagenet.safetensors"
    backbone = {"name": "timm", "model": "resnet18", "pretrained": str(backbone)}
    metric = METRICS.build("backbone_cosine", backbone=backbone, cache=False)
    near, far = metric(photo.repeat(2, 1, 1, 1), torch.cat([blurred, other])).tolist()
    assert 0 < near < far
