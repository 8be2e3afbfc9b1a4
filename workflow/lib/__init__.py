"""The Python that the rules need: typed, and tested without running Snakemake."""
