"""What the papers report, beside what sweeps of this project find: each reads a finished study and prints a table."""
