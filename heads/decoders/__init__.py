"""Decoders of difference maps."""
