"""The researchers' pages, one module for each subject."""
