"""Frozen pretrained models behind names."""
