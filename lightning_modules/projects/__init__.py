"""Research beside the framework: it uses the contracts and nothing depends on it."""
