"""Pictures to sentences."""
