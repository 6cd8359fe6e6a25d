"""What a study says, as plain values: trials, groups over seeds, comparisons, tables and their text."""
