"""Databases of studies and of the tracking: their addresses, and waiting while one refuses."""
