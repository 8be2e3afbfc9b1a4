"""Raw images -> one bank of images of one size.

Inputs: the raw files, where the data set has any. Outputs: images (.npy) and their class table (.csv).
"""

from pathlib import Path

import stage


def main(job) -> None:
    from fedmeta.data.bank import write_bank
    from fedmeta.data.datasets import read

    write_bank(
        job.output.images, job.output.classes, *read(job.wildcards.dataset, Path(job.params.raw), job.params.size)
    )


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
