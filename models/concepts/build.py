"""From what a user writes to something that decomposes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.concepts.decompose import Decomposer, Solver, Sparsity
from models.concepts.dictionary import ConceptEncoder, build_dictionary
from models.concepts.modality_gap import image_mean
from models.concepts.vocabulary import read_vocabulary
from semfid.io.vector_cache import EMBEDDINGS
from semfid.progress import Stage, silent


@dataclass(frozen=True)
class ConceptOptions:
    """Keywords of plugins that decompose a tower's embeddings into concepts.

    Attributes:
        image_mean: none, a folder of photos of the kind, a pair table (its references), or a file of one vector (.pt of the
            SpLiCE project, .npy).
        vocabulary: english, scenes, or a file, one word a line, the rarest first.
        size: number of words, the most frequent first; None: all.
        l1: penalty, 0.25 if neither it nor `concepts` is given.
        concepts: number of concepts in place of l1.
        solver: lasso, lars or admm, to the same end.
        cache: keep vectors in ``.cache/embeddings``.
    """

    image_mean: str
    vocabulary: str = "english"
    size: int | None = None
    l1: float | None = None
    concepts: int | None = None
    solver: Solver = "lasso"
    cache: bool = True

    @property
    def store(self) -> Path | None:
        """The folder for vectors; None: nothing is kept."""
        return EMBEDDINGS if self.cache else None

    def settings(self, nouns: bool) -> ConceptSettings:
        """What determines the concepts.

        Args:
            nouns: only nouns.

        Raises:
            UserError: as `Sparsity`.
        """
        sparsity = Sparsity(self.l1, self.concepts, self.solver)
        return ConceptSettings(self.vocabulary, self.image_mean, sparsity, self.size, nouns)


@dataclass(frozen=True)
class ConceptSettings:
    """What determines the concepts of a tower.

    Attributes:
        vocabulary: a name (english, scenes) or a file.
        image_mean: none, a folder of photos, a pair table, or a file of one vector.
        size: number of words, the most frequent first; None: all.
        nouns: only nouns.
        encoding: of the vocabulary's file.
    """

    vocabulary: str
    image_mean: str
    sparsity: Sparsity
    size: int | None = None
    nouns: bool = False
    encoding: str | None = None

    def decomposer(
        self, tower: ConceptEncoder, cache: Path | None = EMBEDDINGS, stage: Stage = silent, device: str | None = None
    ) -> Decomposer:
        """Embed what is not in the cache, and put the parts together.

        Args:
            cache: folder where the vectors of words and images are kept; None: nothing is kept.
            stage: progress of a named stage.
            device: where it is solved; None: where the tower is.

        Raises:
            UserError: a vocabulary or mean that cannot be had, or of another tower.
        """
        words = read_vocabulary(self.vocabulary, self.size, self.encoding)
        if self.nouns:
            words = words.only_nouns()
        with stage("words") as advance:
            dictionary = build_dictionary(tower, words, cache, advance)
        with stage("images of the mean") as advance:
            mean = image_mean(tower, self.image_mean, cache, advance)
        return Decomposer(dictionary.of(tower), mean.of(tower), self.sparsity, device or tower.device)
