"""The computing core."""
