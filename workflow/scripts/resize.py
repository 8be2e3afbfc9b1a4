"""Raw images -> one bank of images of one size.

Outputs: images (.npy) and their class table (.csv). Where the raw files are is no param, lest a move invalidate
everything: the rule's params say what is in them.
"""

from pathlib import Path

import stage


def main(job) -> None:
    from fedmeta.data.bank import write_bank
    from fedmeta.data.datasets import read

    raw = Path(job.config["raw_data"]) / job.params.dataset
    write_bank(job.output.images, job.output.classes, *read(job.params.dataset, raw, job.params.size))


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
