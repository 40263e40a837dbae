"""Random calls on a session and on a plain directory, whose results must be the same."""
