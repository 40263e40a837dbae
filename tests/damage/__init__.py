"""Scratches whose files somebody has damaged between two mounts."""
