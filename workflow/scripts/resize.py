"""Raw images -> one bank of images of one size.

Outputs: images (.npy) and their class table (.csv). Where the raw files are is not a param, so that moving them
invalidates nothing: the rule's params say what is in them.
"""

from pathlib import Path

import stage


def main(job) -> None:
    from fedmeta.data.bank import write_bank
    from fedmeta.data.datasets import read
    from fedmeta.settings import part

    size = part(job.params.settings).data.size
    images, classes = read(job.params.reader, Path(job.config["raw_data"]), size)
    write_bank(job.output.images, job.output.classes, images, classes)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
