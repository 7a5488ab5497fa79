"""What every registered captioner promises, on tiny models of the real classes loaded from folders."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_captioners as tiny
import torch
from PIL import Image

from models.captioners import Captioner, LabelError, RegionView, build_captioner
from models.captioners.overlay import MAGENTA
from models.captioners.vip_llava import TEMPLATE, padded_to_square
from registry import CAPTIONERS, RegistryError
from semfid.errors import UserError
from semfid.io.images import pixel_hash
from semfid.io.jsonl import JsonLines


def picture(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels // (1 + seed % 3))


PICTURES = [picture(0), picture(1, (64, 30)), picture(2), picture(4, (30, 64))]
NO_MODEL = ("stored", "scenes_captioner")  # bring their own


def store(folder: Path) -> Path:
    for number, image in enumerate(PICTURES):
        name = pixel_hash(image)
        lines = {0: f"picture {number}", number + 1: f" region of {number}"}
        JsonLines(folder / "captions.jsonl").append(
            [{"image": name, "segment": segment, "caption": text} for segment, text in lines.items()]
        )
    return folder


MODELS: dict[str, Callable[[Path], Path]] = {
    "vip_llava": tiny.save_vip_llava,
    "qwen2_vl": tiny.save_qwen2_vl,
    "image_text_to_text": tiny.save_qwen2_vl,
    "blip": tiny.save_blip,
    "image_to_text": tiny.save_git,
    "vit_gpt2": tiny.save_vit_gpt2,
    "stored": store,
}


@pytest.fixture(scope="module")
def keywords(folder: Callable[[str], str]) -> Callable[[str], dict[str, Any]]:
    def get(name: str) -> dict[str, Any]:
        if name == "scenes_captioner":
            return {"batch_size": 3}
        if name == "stored":
            return {"folder": folder(name)}
        return {"model": folder(name), "device": "cpu", "batch_size": 3, "max_new_tokens": 10}

    return get


@pytest.fixture(scope="module")
def captioner(keywords: Callable[[str], dict[str, Any]]) -> Callable[[str], Captioner]:
    made: dict[str, Captioner] = {}
    return lambda name: made.setdefault(name, build_captioner(name, keywords(name)))


@pytest.mark.parametrize("name", [name for name in CAPTIONERS.names() if name != "category_names"])  # of regions alone
class TestCaptioners:
    def test_company_does_not_matter(self, name: str, captioner: Callable[[str], Captioner]) -> None:
        """The tiny checkpoints pad on the right and bring sampling settings; neither may come through."""
        together = captioner(name).caption(PICTURES, "What is it?")
        assert len({*together}) > 1, "captions that are all alike prove nothing"
        assert together == [captioner(name).caption([image], "What is it?")[0] for image in PICTURES]
        assert captioner(name).caption([], "What?") == [] and all(text == text.strip() for text in together)

    def test_regions(self, name: str, captioner: Callable[[str], Captioner]) -> None:
        views = []
        for number, image in enumerate(PICTURES[:2]):
            ids = np.full((image.height, image.width), number + 1)
            views.append(RegionView(image, pixel_hash(image), ids, number + 1))
        found = captioner(name).caption_regions(views, "What?")
        assert len(found) == 2 and all(isinstance(text, str) for text in found)

    def test_identity(
        self, name: str, captioner: Callable[[str], Captioner], keywords: Callable[[str], dict[str, Any]]
    ) -> None:
        same = keywords(name)
        assert build_captioner(name, same).identity == captioner(name).identity
        assert captioner(name).identity.startswith(name)
        if name not in NO_MODEL:
            assert same["model"] not in captioner(name).identity, "a folder's path says nothing of what lies in it"
            assert build_captioner(name, {**same, "max_new_tokens": 11}).identity != captioner(name).identity
            assert build_captioner(name, {**same, "precision": "bfloat16"}).identity != captioner(name).identity

    def test_works_after_release(self, name: str, captioner: Callable[[str], Captioner]) -> None:
        first = captioner(name).caption(PICTURES[:1], "?")
        captioner(name).release()
        assert captioner(name).caption(PICTURES[:1], "?") == first


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision(precision: str, folder: Callable[[str], str]) -> None:
    built = build_captioner("qwen2_vl", {"model": folder("qwen2_vl"), "device": "cpu", "precision": precision})
    assert len(built.caption(PICTURES[:2], "?")) == 2 and built.identity.endswith(precision)


def test_identity_follows_the_files(tmp_path: Path, folder: Callable[[str], str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder("vip_llava"), copy)
    before = build_captioner("vip_llava", {"model": str(copy)}).identity
    assert before == build_captioner("vip_llava", {"model": folder("vip_llava")}).identity
    (copy / "generation_config.json").write_text("{}")
    assert build_captioner("vip_llava", {"model": str(copy)}).identity != before


class TestImageToText:
    @pytest.mark.parametrize("name", ["blip", "image_to_text"])
    def test_a_beginning(self, name: str, keywords: Callable[[str], dict[str, Any]], captioner: Any) -> None:
        built = build_captioner(name, {**keywords(name), "prefix": "a dog"})
        found = built.caption(PICTURES, "?")
        assert all(text.startswith("a dog") for text in found) and len({*found}) > 1
        assert found == [built.caption([image], "?")[0] for image in PICTURES]
        assert built.identity != captioner(name).identity
        assert not any(text.startswith(("a dog", "[")) for text in captioner(name).caption(PICTURES, "a dog"))

    def test_against_the_librarys_own_calls(self, folder: Callable[[str], str], captioner: Any) -> None:
        import transformers as T

        model = T.BlipForConditionalGeneration.from_pretrained(folder("blip")).eval()
        processor = T.AutoProcessor.from_pretrained(folder("blip"))
        inputs = processor(images=PICTURES[0], return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=10, do_sample=False)
        assert captioner("blip").caption(PICTURES[:1], "?") == [
            processor.decode(tokens[0, 1:], skip_special_tokens=True)
        ]

    def test_an_encoder_with_a_decoder(self, keywords: Callable[[str], dict[str, Any]]) -> None:
        """Its tokenizer has no padding token, and its own settings ask for three beams and five tokens."""
        built = build_captioner("image_to_text", keywords("vit_gpt2"))
        found = built.caption(PICTURES, "?")
        assert len({*found}) > 1 and found == [built.caption([image], "?")[0] for image in PICTURES]
        with pytest.raises(UserError, match="takes no beginning; leave prefix out"):
            build_captioner("image_to_text", {**keywords("vit_gpt2"), "prefix": "a"})


def test_a_model_that_is_spread(keywords: Callable[[str], dict[str, Any]], captioner: Any, monkeypatch: Any) -> None:
    pytest.importorskip("accelerate")
    built = build_captioner("qwen2_vl", {**keywords("qwen2_vl"), "device_map": "cpu"})
    assert built.identity == captioner("qwen2_vl").identity
    assert built.caption(PICTURES[:2], "?") == captioner("qwen2_vl").caption(PICTURES[:2], "?")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="device_map=auto needs the library accelerate; pip install accelerate"):
        build_captioner("qwen2_vl", {**keywords("qwen2_vl"), "device_map": "auto"})


class TestVipLlava:
    def test_padding(self) -> None:
        square = padded_to_square(Image.new("RGB", (10, 4), "red"), (1, 2, 3))
        assert (
            square.size == (10, 10) and square.getpixel((0, 3)) == (255, 0, 0) and square.getpixel((0, 2)) == (1, 2, 3)
        )

    def test_conversation(self) -> None:
        assert "###Human: <image>\n{prompt}###Assistant:" in TEMPLATE

    def test_the_sides_of_a_wide_picture_are_seen(self, captioner: Callable[[str], Captioner]) -> None:
        """The encoder crops the middle of what it is given."""
        processor = captioner("vip_llava")._load()[1]  # type: ignore[attr-defined]
        wide = Image.new("RGB", (60, 20), "black")
        marked = wide.copy()
        marked.paste("white", (0, 0, 8, 20))
        a, b = (captioner("vip_llava")._inputs(processor, [one], "?")["pixel_values"] for one in (wide, marked))  # type: ignore[attr-defined]
        assert not torch.equal(a, b)


class TestStored:
    def test_captions(self, tmp_path: Path) -> None:
        built = build_captioner("stored", {"folder": str(store(tmp_path))})
        assert built.caption(PICTURES[:2], "?") == ["picture 0", "picture 1"]
        with pytest.raises(LabelError, match=r"no caption of segment 0 of image [0-9a-f]{32}"):
            built.caption([picture(9)], "?")

    def test_bad_input(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"finds no .*captions\.jsonl"):
            build_captioner("stored", {"folder": str(tmp_path)})
        (tmp_path / "captions.jsonl").write_text('{"image": "a", "segment": "1", "caption": ""}\n')
        with pytest.raises(UserError, match=r"captions\.jsonl, line 1: needs"):
            build_captioner("stored", {"folder": str(tmp_path)})
        (tmp_path / "captions.jsonl").write_text('{"image": "a", "segment": 1, "caption": ""}\n{no\n')
        with pytest.raises(UserError, match=r"captions\.jsonl, line 2: not JSON"):
            build_captioner("stored", {"folder": str(tmp_path)})


def test_what_a_captioner_is_shown() -> None:
    seen: list[Image.Image] = []

    class Looks(Captioner):
        identity, batch_size = "looks", 1

        def _caption(self, images: Any, prompt: str) -> list[str]:
            seen.extend(images)
            return [f" {prompt}\n"]

    ids = np.zeros((32, 40), dtype=np.int32)
    ids[8:20, 8:20] = 7
    looks = Looks()
    assert looks.caption_regions([RegionView(PICTURES[0], "a", ids, 7)], "Who?", 3) == ["Who?"]
    pixels = np.asarray(seen[0])
    assert (pixels[7:10, 7:21] == MAGENTA).all() and not (pixels[12:16, 12:16] == MAGENTA).all()


class TestBadModels:
    def test_weights_that_cannot_be_had(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(UserError, match=r"vip_llava: cannot get '.*nowhere' .*use stored") as caught:
            build_captioner("vip_llava", {"model": str(tmp_path / "nowhere")})
        assert "\n" not in str(caught.value)

    def test_another_kind_of_model(self, folder: Callable[[str], str]) -> None:
        with pytest.raises(UserError, match="is a qwen2_vl model; use image_text_to_text"):
            build_captioner("vip_llava", {"model": folder("qwen2_vl")})
        with pytest.raises(UserError, match="is a git model; use image_to_text"):
            build_captioner("blip", {"model": folder("image_to_text")})
        with pytest.raises(UserError, match="has no chat template"):
            build_captioner("image_text_to_text", {"model": folder("vip_llava"), "device": "cpu"}).caption(
                PICTURES, "?"
            )

    def test_keywords(self, folder: Callable[[str], str]) -> None:
        with pytest.raises(RegistryError, match="did you mean 'max_new_tokens'"):
            build_captioner("qwen2_vl", {"max_tokens": 3})
        for key in ("max_new_tokens", "batch_size"):
            with pytest.raises(UserError, match=f"{key} >= 1"):
                build_captioner("blip", {"model": folder("blip"), key: 0})
        with pytest.raises(UserError, match="no device 'cuda:99' here"):
            build_captioner("qwen2_vl", {"model": folder("qwen2_vl"), "device": "cuda:99"})
