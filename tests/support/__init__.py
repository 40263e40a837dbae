"""Helpers of the tests: stores, mounts, users, processes, databases."""
