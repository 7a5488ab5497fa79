"""From a tower to concepts of pictures, against the published formulas written out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from concept_support import ColourTower, plain
from PIL import Image
from sklearn.linear_model import Lasso

from models.concepts import (
    ConceptSettings,
    Decomposer,
    ImageMean,
    Sparsity,
    Vocabulary,
    build_dictionary,
    compared,
)
from models.concepts.compare import differences, pair_weights
from models.concepts.modality_gap import image_mean, mean_of_rows
from semfid.cosine import cosine_difference
from semfid.errors import UserError

LIST = Vocabulary("few", ("stone", "loud", "river", "dark", "bright", "blue", "green", "red"))
RED, BLUE, PURPLE = plain(230, 20, 20), plain(20, 20, 230), plain(230, 20, 230)


def decomposer(tower: ColourTower, sparsity: Sparsity | None = None, words: Vocabulary = LIST) -> Decomposer:
    pictures = [plain(*colour) for colour in np.random.default_rng(0).integers(0, 256, (40, 3))]
    mean = ImageMean(tower.identity, "colours", mean_of_rows(tower.embed_images(pictures)))
    return Decomposer(build_dictionary(tower, words, None), mean, sparsity or Sparsity(l1=0.05))


def embedded(tower: ColourTower, *pictures: Image.Image) -> torch.Tensor:
    return torch.from_numpy(tower.embed_images(pictures))


class TestFormulas:
    def test_dictionary(self) -> None:
        tower = ColourTower()
        found = build_dictionary(tower, LIST, None)
        rows = tower.embed_texts(LIST.words)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows - rows.mean(axis=0)
        np.testing.assert_allclose(found.vectors, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)
        assert found.words == LIST.words and (found.silent, found.merged) == (0, 0)

    def test_weights_and_recomposed(self) -> None:
        tower = ColourTower()
        made = decomposer(tower)
        rows = embedded(tower, RED, BLUE, PURPLE)
        mean, vectors = made.mean.numpy(), made.vectors.numpy()
        z = rows.numpy() * 3.0  # of any length
        z = z / np.linalg.norm(z, axis=1, keepdims=True) - mean
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
        lasso = Lasso(alpha=0.05 / (2 * tower.dim), positive=True, fit_intercept=False, max_iter=100_000, tol=1e-10)
        expected = np.array([lasso.fit(vectors.T.astype(np.float64), row.astype(np.float64)).coef_ for row in z])
        weights = made.weights(rows * 3.0)
        np.testing.assert_allclose(weights.numpy(), expected, atol=1e-5)
        back = expected @ vectors
        back = back / np.linalg.norm(back, axis=1, keepdims=True) + mean
        back = back / np.linalg.norm(back, axis=1, keepdims=True)
        np.testing.assert_allclose(made.recomposed(weights).numpy(), back, atol=1e-5)

    def test_it_finds_what_the_picture_shows(self) -> None:
        tower = ColourTower()
        made = decomposer(tower)
        for picture, word in ((RED, "red"), (BLUE, "blue"), (plain(255, 255, 255), "bright"), (plain(0, 0, 0), "dark")):
            assert made.words[int(made.weights(embedded(tower, picture))[0].argmax())] == word


class TestStrategies:
    def test_kept_lost_and_gained(self) -> None:
        tower = ColourTower()
        made = decomposer(tower, Sparsity(l1=0.4))
        found = compared(made, embedded(tower, PURPLE), embedded(tower, plain(230, 20, 20)), "nonsymmetric")[0]
        assert "red" in {c.word for c in found.kept} and [c.word for c in found.lost][:1] == ["blue"]
        for concept in (*found.kept, *found.lost, *found.gained):
            assert (concept.reference > 0 or concept.candidate > 0) and concept.word in made.words
        assert 0 < found.weights <= 1 and 0 < found.recomposed <= 1 and 0 < found.cosine < 1
        back = compared(made, embedded(tower, RED), embedded(tower, PURPLE), "nonsymmetric")[0]
        assert [c.word for c in back.gained] == [c.word for c in found.lost] and back.weights == pytest.approx(
            found.weights
        )

    def test_symmetric_by_hand(self) -> None:
        from scipy.optimize import nnls

        tower = ColourTower()
        made = decomposer(tower, Sparsity(l1=0.4))
        x, y = embedded(tower, RED), embedded(tower, PURPLE)
        support = np.flatnonzero(made.weights(x)[0].numpy())
        found = pair_weights(made, x, y, "symmetric")
        for side, rows in zip(found, (x, y), strict=True):
            expected = np.zeros(len(made.words))
            expected[support] = nnls(made.vectors.numpy()[support].T, made.centred(rows)[0].numpy())[0]
            np.testing.assert_allclose(side[0].numpy(), expected, atol=1e-5)
        assert compared(made, x, y, "symmetric")[0].gained == ()

    def test_by_number_of_concepts(self) -> None:
        tower = ColourTower()
        made = decomposer(tower, Sparsity(concepts=3))
        assert (made.weights(embedded(tower, RED, BLUE)) > 0).sum(dim=1).tolist() == [3, 3]

    def test_nouns(self) -> None:
        settings = ConceptSettings("english", "none", Sparsity(), size=60, nouns=True)
        made = settings.decomposer(ColourTower(), None)
        assert 2 < len(made.words) < 60 and "people" in made.words and "free" not in made.words


class TestNothingActive:
    def test_weights_are_zero_and_differences_are_numbers(self) -> None:
        tower = ColourTower()
        made = decomposer(tower, Sparsity(l1=3.0))
        for strategy in ("nonsymmetric", "symmetric"):
            found = compared(made, embedded(tower, RED), embedded(tower, BLUE), strategy)[0]
            assert (found.kept, found.lost, found.gained) == ((), (), ())
            assert (found.weights, found.recomposed) == (0.0, 0.0) and found.cosine > 0

    def test_on_one_side_only(self) -> None:
        x, y = torch.tensor([[0.2, 0.1], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 0.0]])
        assert cosine_difference(x, y).tolist() == [1.0, 0.0]

    def test_embeddings_of_zeros(self) -> None:
        tower = ColourTower()
        made = decomposer(tower)
        weights = made.weights(torch.zeros(2, tower.dim))
        assert (weights == 0).all()
        for compare in ("weights", "recomposed"):
            assert differences(made, weights, made.weights(embedded(tower, RED, BLUE)), compare).isfinite().all()


class TestWordsThatATowerCannotTell:
    def test_they_are_one(self) -> None:
        words = Vocabulary("v", ("Red", "unheard", "red", "blue", "BLUE", "stone"))
        found = build_dictionary(ColourTower(), words, None)
        assert found.words == ("red", "BLUE", "stone") and (found.silent, found.merged) == (1, 2)

    def test_none_are_left(self) -> None:
        with pytest.raises(UserError, match="tells 0 of the 2 words of v apart; give a vocabulary that it knows"):
            build_dictionary(ColourTower(), Vocabulary("v", ("red", "RED")), None)

    def test_a_tower_whose_vectors_are_not_finite(self) -> None:
        class Damaged(ColourTower):
            def embed_texts(self, texts: object) -> np.ndarray:
                rows = super().embed_texts(texts)
                rows[1] = np.nan
                return rows

        with pytest.raises(UserError, match="gave vectors that are not numbers"):
            build_dictionary(Damaged(), LIST, None)


class TestCache:
    def test_each_word_and_image_is_embedded_once(self, tmp_path: Path, write_photo: Callable[..., Path]) -> None:
        for number in range(3):
            write_photo(tmp_path / "photos" / f"{number}.png", number)
        settings = ConceptSettings("english", str(tmp_path / "photos"), Sparsity(), size=50)
        first, second, other = ColourTower(), ColourTower(), ColourTower("other")
        made = settings.decomposer(first, tmp_path / "cache")
        again = settings.decomposer(second, tmp_path / "cache")
        settings.decomposer(other, tmp_path / "cache")
        assert (len(first.texts), first.pictures) == (50, 3) and (second.texts, second.pictures) == ([], 0)
        assert (len(other.texts), other.pictures) == (50, 3)
        assert torch.equal(made.vectors, again.vectors) and torch.equal(made.mean, again.mean)


class TestMeans:
    def test_of_a_folder(self, tmp_path: Path) -> None:
        RED.save(tmp_path / "a.png")
        (tmp_path / "deep").mkdir()
        BLUE.save(tmp_path / "deep" / "b.png")
        rows = ColourTower().embed_images([RED, BLUE])
        found = image_mean(ColourTower(), tmp_path, None)
        np.testing.assert_allclose(found.vector, rows.mean(axis=0), atol=1e-6)

    def test_of_a_pair_table(self, tmp_path: Path) -> None:
        for name, picture in (("a", RED), ("b", BLUE), ("c", PURPLE)):
            picture.save(tmp_path / f"{name}.png")
        lines = ["pair_id,source_id,reference,candidate,difference", "1,s,a.png,c.png,0.5", "2,s,a.png,b.png,0.5"]
        (tmp_path / "pairs.csv").write_text("\n".join(lines))
        found = image_mean(ColourTower(), tmp_path / "pairs.csv", None)
        np.testing.assert_allclose(found.vector, ColourTower().embed_images([RED])[0], atol=1e-6)

    def test_it_knows_its_tower(self, tmp_path: Path) -> None:
        mean = ImageMean("colours", "here", np.ones(16, dtype=np.float32))
        (tmp_path / "m.safetensors").write_bytes(mean.content())
        assert np.array_equal(image_mean(ColourTower(), tmp_path / "m.safetensors").vector, mean.vector)
        with pytest.raises(UserError, match="is of the tower colours, not other"):
            image_mean(ColourTower("other"), tmp_path / "m.safetensors")
        with pytest.raises(
            UserError, match="the dictionary 'few' is of the tower other, the image mean here of colours"
        ):
            Decomposer(build_dictionary(ColourTower("other"), LIST, None), mean, Sparsity())
        with pytest.raises(UserError, match="the dictionary 'few' is of the tower other, the embeddings of colours"):
            build_dictionary(ColourTower("other"), LIST, None).of(ColourTower())

    def test_the_published_ones(self, test_data: Callable[[str], Path]) -> None:
        class Clip(ColourTower):
            dim = 512

        path = test_data("splice") / "clip_ViT-B-32_image.pt"
        assert np.linalg.norm(image_mean(Clip("clip"), path).vector) == pytest.approx(0.684, abs=1e-3)
        with pytest.raises(UserError, match=r"has 512 numbers, colours has 16 dimensions: it is of another tower"):
            image_mean(ColourTower(), path)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("m.pt", b"junk", "does not hold one vector"),
            ("m.npy", b"", "does not hold one vector"),
            ("m.safetensors", b"junk", "is not a mean that was written here"),
            ("m.txt", b"1 2 3", "none of the kinds known"),
        ],
    )
    def test_files_that_are_none(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            image_mean(ColourTower(), tmp_path / name)

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no images in"):
            image_mean(ColourTower(), tmp_path)
        with pytest.raises(UserError, match=r"no file or folder .*; give image_mean="):
            image_mean(ColourTower(), tmp_path / "gone")
        assert not image_mean(ColourTower(), "none").vector.any()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"l1": 0.2, "concepts": 3}, "give l1 or concepts, not both"),
        ({"l1": 0.0}, "l1=0 must be a positive number"),
        ({"concepts": 0}, "concepts=0 must be 1 or more"),
        ({"concepts": 3, "solver": "admm"}, "solver=admm takes an l1"),
    ],
)
def test_a_sparsity_that_cannot_be(keywords: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sparsity(**keywords)  # type: ignore[arg-type]
