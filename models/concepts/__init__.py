"""Sparse concept decomposition (SpLiCE, arXiv 2402.10376): an embedding as a few words with weights.

Arrays, words and files only: a tower is handed in, so that any one will do.
"""

from __future__ import annotations

from models.concepts.build import ConceptSettings
from models.concepts.compare import Compare, Comparison, Concept, Strategy, compared
from models.concepts.decompose import Decomposer, Solver, Sparsity
from models.concepts.dictionary import ConceptEncoder, Dictionary, build_dictionary
from models.concepts.modality_gap import ImageMean, image_mean
from models.concepts.vocabulary import Vocabulary, read_vocabulary

__all__ = [
    "Compare",
    "Comparison",
    "Concept",
    "ConceptEncoder",
    "ConceptSettings",
    "Decomposer",
    "Dictionary",
    "ImageMean",
    "Solver",
    "Sparsity",
    "Strategy",
    "Vocabulary",
    "build_dictionary",
    "compared",
    "image_mean",
    "read_vocabulary",
]
