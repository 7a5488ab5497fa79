"""Runs: what is trained, where its folder is, and how a sweep is carried out."""
