"""Long runs of many clients at once."""
