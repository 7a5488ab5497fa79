"""Difference maps without training: segment, caption, embed, compare."""
