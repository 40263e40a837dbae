"""Drills that damage the files of a scratch between two mounts."""
