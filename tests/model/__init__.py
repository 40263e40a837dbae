"""A session against a plain directory: random calls on both, whose answers must be the same."""
