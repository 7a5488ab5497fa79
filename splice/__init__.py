"""Sparse concept decomposition (SpLiCE): an embedding as a few words with weights."""
