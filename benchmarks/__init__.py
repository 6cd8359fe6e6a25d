"""Claims on speed and memory: each a ratio against a named alternative, measured in the same run."""
