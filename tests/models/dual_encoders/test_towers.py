"""What every registered tower promises, on tiny models of the real classes loaded from folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import tiny_towers as tiny
import torch
import transformers as T
from PIL import Image

from models.dual_encoders import DualEncoder, build_dual_encoder
from models.dual_encoders.cache import embed_images, embed_texts
from models.dual_encoders.open_clip_models import create
from models.text_encoders.cache import embed_texts as embed_by_embedder
from models.text_encoders.hashed_words import HashedWords
from registry import DUAL_ENCODERS, RegistryError
from semfid.errors import UserError
from semfid.io.vector_cache import VectorCache


def picture(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels // (1 + seed % 3))


PICTURES = [picture(0), picture(1, (64, 30)), picture(2), picture(4, (30, 64)), picture(5)]
SENTENCES = ["a red car", "two green chairs", "", "a dog", "a red car", "a blue bus"]
MODELS: dict[str, Callable[[Path], Path]] = {
    "clip": tiny.save_clip,
    "transformers": tiny.save_clip,
    "siglip": tiny.save_siglip,
    "open_clip": tiny.add_open_clip,
}


@pytest.fixture(scope="module")
def keywords(folder: Callable[[str], str]) -> Callable[[str], dict[str, Any]]:
    def get(name: str) -> dict[str, Any]:
        words: dict[str, Any] = {"device": "cpu", "batch_size": 3}
        if name == "scenes_tower":
            return words
        where = (
            {"pretrained": folder(name), "model": tiny.OPEN_CLIP} if name == "open_clip" else {"model": folder(name)}
        )
        return {**words, **where}

    return get


@pytest.fixture(scope="module")
def tower(keywords: Callable[[str], dict[str, Any]]) -> Callable[[str], DualEncoder]:
    made: dict[str, DualEncoder] = {}
    return lambda name: made.setdefault(name, build_dual_encoder(name, keywords(name)))


@pytest.mark.parametrize("name", DUAL_ENCODERS.names())
class TestContract:
    def test_pictures(self, name: str, tower: Callable[[str], DualEncoder]) -> None:
        together = tower(name).embed_images(PICTURES)
        assert together.shape == (5, tower(name).dim) and together.dtype == np.float32
        assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
        alone = np.concatenate([tower(name).embed_images([image]) for image in PICTURES])
        assert np.abs(together - alone).max() < 1e-5
        assert (together @ together.T)[np.triu_indices(5, 1)].max() < 0.9999, "pictures that look alike prove nothing"
        assert tower(name).embed_images([]).shape == (0, tower(name).dim)

    def test_sentences(self, name: str, tower: Callable[[str], DualEncoder]) -> None:
        together = tower(name).embed_texts(SENTENCES)
        alone = np.concatenate([tower(name).embed_texts([text]) for text in SENTENCES])
        assert np.abs(together - alone).max() < 1e-5 and np.array_equal(together[0], together[4])
        assert not together[2].any(), "an empty sentence has no direction"
        said = together[[0, 1, 3, 5]]
        lengths = np.linalg.norm(said, axis=1)
        assert lengths == pytest.approx(1, abs=1e-5) and (said @ said.T)[np.triu_indices(4, 1)].max() < 0.9999
        assert tower(name).cut(SENTENCES) == []
        with pytest.raises(TypeError, match="a list of sentences"):
            tower(name).embed_texts("a dog")

    def test_pixels_have_gradients(self, name: str, tower: Callable[[str], DualEncoder]) -> None:
        """Also where the weights were loaded for pictures before; of any size."""
        tower(name).embed_images(PICTURES[:1])
        images = torch.rand(2, 3, 48, 56, requires_grad=True)
        rows = tower(name).embed_pixels(images)
        assert rows.shape == (2, tower(name).dim)
        (rows[0] @ rows[1]).backward()
        assert images.grad is not None and float(images.grad.abs().sum()) > 0
        pixels = tower(name).prepare(PICTURES[1])
        with torch.no_grad():
            again = tower(name).embed_pixels(pixels)[0].numpy()
        assert np.abs(again - tower(name).embed_images(PICTURES[1:2])[0]).max() < 1e-5

    def test_identity(self, name: str, tower: Callable[[str], DualEncoder], keywords: Callable[[str], Any]) -> None:
        """Known without weights, the same in another place; another precision gives other vectors."""
        again = build_dual_encoder(name, keywords(name))
        assert again.identity == tower(name).identity and again.identity.startswith(name)
        assert not any(str(value) in again.identity for value in keywords(name).values() if "/" in str(value))
        if name != "scenes_tower":
            half = build_dual_encoder(name, {**keywords(name), "precision": "bfloat16"})
            assert half.identity != again.identity
            assert np.abs(half.embed_images(PICTURES) - tower(name).embed_images(PICTURES)).max() < 0.2

    def test_float32_on_a_gpu_too(
        self, name: str, tower: Callable[[str], DualEncoder], keywords: Callable[[str], Any], monkeypatch: Any
    ) -> None:
        if name == "scenes_tower":
            return  # it has float32 only
        for module in ("open_clip", "transformers_dual_encoder"):
            monkeypatch.setattr(f"models.dual_encoders.{module}.device_of", lambda what, device: "cuda:0")
        assert build_dual_encoder(name, keywords(name)).identity == tower(name).identity

    def test_works_after_release(self, name: str, tower: Callable[[str], DualEncoder]) -> None:
        first = tower(name).embed_images(PICTURES[:1])
        tower(name).release()
        assert np.array_equal(tower(name).embed_images(PICTURES[:1]), first)

    def test_cache(self, name: str, tower: Callable[[str], DualEncoder], tmp_path: Path, monkeypatch: Any) -> None:
        cache, one = VectorCache(tmp_path), tower(name)
        first = embed_images(one, [*PICTURES, PICTURES[0]], cache)
        assert np.array_equal(first[0], first[5]) and np.abs(first[:5] - one.embed_images(PICTURES)).max() < 1e-5
        said = embed_texts(one, SENTENCES, cache)
        assert np.abs(said - one.embed_texts(SENTENCES)).max() < 1e-5
        monkeypatch.setattr(one, "_embed_pixels", lambda *_: pytest.fail("a picture was embedded twice"))
        monkeypatch.setattr(one, "_embed_texts", lambda *_: pytest.fail("a sentence was embedded twice"))
        assert np.array_equal(embed_images(one, PICTURES[::-1], cache), first[:5][::-1])
        assert np.array_equal(embed_texts(one, SENTENCES[1:], VectorCache(tmp_path)), said[1:])


class TestAgainstTheLibraries:
    @pytest.mark.parametrize("name", ["clip", "siglip"])
    def test_transformers(self, name: str, folder: Callable[[str], str], tower: Callable[[str], DualEncoder]) -> None:
        model, words = T.AutoModel.from_pretrained(folder(name)).eval(), T.AutoTokenizer.from_pretrained(folder(name))
        pictures = T.AutoImageProcessor.from_pretrained(folder(name))
        image = picture(7, (32, 32))
        with torch.no_grad():
            seen = model.get_image_features(**pictures(image, return_tensors="pt")).pooler_output[0]
            tokens = words(
                ["a dog"], padding="max_length", max_length=77 if name == "clip" else 64, return_tensors="pt"
            )
            mask = {"attention_mask": tokens["attention_mask"]} if name == "clip" else {}
            said = model.get_text_features(input_ids=tokens["input_ids"], **mask).pooler_output[0]
        assert np.abs(tower(name).embed_images([image])[0] - (seen / seen.norm()).numpy()).max() < 1e-5
        assert np.abs(tower(name).embed_texts(["a dog"])[0] - (said / said.norm()).numpy()).max() < 1e-5

    def test_open_clip(self, folder: Callable[[str], str], tower: Callable[[str], DualEncoder]) -> None:
        checkpoint = f"{folder('open_clip')}/open_clip_pytorch_model.bin"
        model, _, prepare = open_clip.create_model_and_transforms(tiny.OPEN_CLIP, pretrained=checkpoint)
        image = picture(7, (32, 32))
        with torch.no_grad():
            seen = model.eval().encode_image(prepare(image)[None], normalize=True)[0].numpy()
            said = model.encode_text(open_clip.get_tokenizer(tiny.OPEN_CLIP)(["a dog"]), normalize=True)[0].numpy()
        assert np.abs(tower("open_clip").embed_images([image])[0] - seen).max() < 1e-5
        assert np.abs(tower("open_clip").embed_texts(["a dog"])[0] - said).max() < 1e-5

    def test_quick_gelu_of_the_tag(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OpenAI's weights are of QuickGELU, which the plain names of the models do not say."""
        asked: dict[str, bool] = {}

        def note(model: str, pretrained: str, force_quick_gelu: bool) -> None:
            asked[pretrained] = force_quick_gelu

        monkeypatch.setattr(open_clip, "create_model", note)
        for tag in ("openai", "laion2b_s34b_b79k"):
            create("tower", "ViT-B-32", tag, 0, "a path")
        assert asked == {"openai": True, "laion2b_s34b_b79k": False}


def test_length(tower: Callable[[str], DualEncoder]) -> None:
    """Two marks and one token a word, or a letter."""
    assert [len(text.split()) for text in tower("open_clip").cut(["cat " * 75, "cat " * 76])] == [76]
    assert [len(text) for text in tower("clip").cut(["a" * 75, "a" * 76])] == [76]
    assert [len(text) for text in tower("siglip").cut(["a" * 62, "a" * 63])] == [63]
    far = [f"{'cat ' * 80}{end}" for end in ("sat", "ran")]
    assert np.array_equal(*tower("open_clip").embed_texts(far)), "what is beyond the end is not read"


def test_random_weights_only_where_they_are_asked_for() -> None:
    words = {"model": tiny.OPEN_CLIP, "pretrained": "none", "device": "cpu"}
    one, other = (build_dual_encoder("open_clip", {**words, "init_seed": seed}) for seed in (0, 1))
    assert one.identity != other.identity and "none-seed0" in one.identity
    assert not np.array_equal(one.embed_images(PICTURES[:1]), other.embed_images(PICTURES[:1]))
    assert np.array_equal(
        one.embed_images(PICTURES[:1]), build_dual_encoder("open_clip", words).embed_images(PICTURES[:1])
    )


def test_cache_of_a_text_embedder(tmp_path: Path) -> None:
    class Counts(HashedWords):
        seen = 0

        def _embed(self, texts: Any) -> Any:
            self.seen += len(texts)
            return super()._embed(texts)

    embedder, other = Counts(), Counts(64)
    found = embed_by_embedder(embedder, SENTENCES, VectorCache(tmp_path))
    assert embedder.seen == 5 and np.array_equal(found, HashedWords().embed(SENTENCES))
    assert np.array_equal(embed_by_embedder(embedder, SENTENCES, VectorCache(tmp_path)), found) and embedder.seen == 5
    assert embed_by_embedder(other, SENTENCES, VectorCache(tmp_path)).shape == (6, 64) and other.seen == 5
    for path in tmp_path.rglob("*.safetensors"):  # damaged: made anew
        path.write_bytes(path.read_bytes()[:40])
    assert np.array_equal(embed_by_embedder(embedder, SENTENCES, VectorCache(tmp_path)), found) and embedder.seen == 10


class TestBadModels:
    @pytest.mark.parametrize(
        ("name", "words", "message"),
        [
            ("open_clip", {"model": "ViT-B-33"}, "open_clip has no model 'ViT-B-33'; did you mean 'ViT-B-32'"),
            (
                "open_clip",
                {"pretrained": "laion2b"},
                "has no weights 'laion2b' and there is no such file; did you mean",
            ),
            ("open_clip", {"pretrained": "."}, r"folder \. holds none of open_clip_model.safetensors"),
            ("open_clip", {"batch_size": 0}, "needs batch_size >= 1"),
            ("clip", {"model": "nowhere"}, "clip: cannot get 'nowhere' .*use scenes_tower"),
            ("siglip", {"device": "cuda:99", "model": "SIGLIP"}, "no device 'cuda:99' here"),
            ("siglip", {"model": "CLIP"}, "is a clip model; use transformers for it"),
            ("clip", {"model": "CLIP", "revision": "main"}, "revision=main is for models of the hub"),
            ("clip", {"model": "CLIP", "batch_size": 0}, "needs batch_size >= 1"),
        ],
    )
    def test_mistakes(self, name: str, words: dict[str, Any], message: str, folder: Any, monkeypatch: Any) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        real = {"CLIP": lambda: folder("clip"), "SIGLIP": lambda: folder("siglip")}
        if words.get("model") in real:
            words = {**words, "model": real[words["model"]]()}
        with pytest.raises(UserError, match=message) as caught:
            build_dual_encoder(name, words)
        assert "\n" not in str(caught.value)

    def test_weights(self, tmp_path: Path, folder: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        folder("open_clip")
        with pytest.raises(UserError, match="cannot get open_clip's ViT-B-32 'openai' from the hub"):
            build_dual_encoder("open_clip", {"pretrained": "openai"}).embed_texts(["a"])
        (tmp_path / "bad.pt").write_text("hello")
        torch.save({"positional_embedding": torch.zeros(2, 3)}, tmp_path / "other.pt")
        for name in ("bad.pt", "other.pt"):
            with pytest.raises(
                UserError, match=rf"{name} does not fit {tiny.OPEN_CLIP} .*give the model that it was saved"
            ):
                build_dual_encoder(
                    "open_clip", {"model": tiny.OPEN_CLIP, "pretrained": str(tmp_path / name)}
                ).embed_texts(["a"])

    def test_no_two_towers(self, tmp_path: Path) -> None:
        T.ViTConfig(hidden_size=8).save_pretrained(tmp_path)
        with pytest.raises(UserError, match=r"\(vit\) has no two towers; give a CLIP-like model"):
            build_dual_encoder("transformers", {"model": str(tmp_path)})

    def test_what_is_no_tower(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(DUAL_ENCODERS, "build", lambda name, **_: object())
        with pytest.raises(RegistryError, match=r"builds a object; it must be a models\.dual_encoders\.DualEncoder"):
            build_dual_encoder("clip", {})
