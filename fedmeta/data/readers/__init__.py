"""The data sets: one file each, which reads the raw files."""
