"""Many clients at once, for long."""
