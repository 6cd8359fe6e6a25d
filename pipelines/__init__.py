"""What a person runs: thin command lines over the engine."""
