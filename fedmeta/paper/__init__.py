"""What the paper states: its figures as entries of the config, its numbers, and how ours compare."""
