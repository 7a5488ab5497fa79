"""Training: features, exact fits, cached fits, Lightning."""
