"""Pairs whose difference is known: edits of photos that change the meaning, and edits that leave it."""
