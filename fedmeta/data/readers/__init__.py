"""The data sets: a file each, which reads the raw files."""
