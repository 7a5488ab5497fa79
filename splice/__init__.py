"""Sparse concept decomposition (SpLiCE, arXiv 2402.10376): an embedding as a few words with weights.

Arrays, words and files only: a tower is handed in, so that any one will do.
"""

from __future__ import annotations

from splice.build import ConceptSettings as ConceptSettings
from splice.compare import Compare as Compare
from splice.compare import Comparison as Comparison
from splice.compare import Concept as Concept
from splice.compare import Strategy as Strategy
from splice.compare import compared as compared
from splice.decompose import Decomposer as Decomposer
from splice.decompose import Solver as Solver
from splice.decompose import Sparsity as Sparsity
from splice.dictionary import ConceptTower as ConceptTower
from splice.dictionary import Dictionary as Dictionary
from splice.dictionary import build_dictionary as build_dictionary
from splice.image_mean import ImageMean as ImageMean
from splice.image_mean import image_mean as image_mean
from splice.vocabulary import Vocabulary as Vocabulary
from splice.vocabulary import read_vocabulary as read_vocabulary
