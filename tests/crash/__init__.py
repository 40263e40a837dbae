"""Drills that kill processes in the middle of their work."""
