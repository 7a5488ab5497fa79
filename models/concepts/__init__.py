"""Sparse concept decomposition (SpLiCE, arXiv 2402.10376): an embedding as a few words with weights.

Arrays, words and files only: a tower is handed in, so that any one will do.
"""

from __future__ import annotations

from models.concepts.build import ConceptSettings as ConceptSettings
from models.concepts.compare import Compare as Compare
from models.concepts.compare import Comparison as Comparison
from models.concepts.compare import Concept as Concept
from models.concepts.compare import Strategy as Strategy
from models.concepts.compare import compared as compared
from models.concepts.decompose import Decomposer as Decomposer
from models.concepts.decompose import Solver as Solver
from models.concepts.decompose import Sparsity as Sparsity
from models.concepts.dictionary import ConceptTower as ConceptTower
from models.concepts.dictionary import Dictionary as Dictionary
from models.concepts.dictionary import build_dictionary as build_dictionary
from models.concepts.modality_gap import ImageMean as ImageMean
from models.concepts.modality_gap import image_mean as image_mean
from models.concepts.vocabulary import Vocabulary as Vocabulary
from models.concepts.vocabulary import read_vocabulary as read_vocabulary
