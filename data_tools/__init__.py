"""Data sets and what they are made with: builders, degradations, synthetic scenes, difference maps from captions."""
