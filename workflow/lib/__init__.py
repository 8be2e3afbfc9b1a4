"""What the rules need in Python: typed, and tested without a process of Snakemake."""
