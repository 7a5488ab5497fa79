"""A metric of captions or embeddings applied to a whole table."""
