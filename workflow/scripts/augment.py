"""Images -> images in which each rotation of a class is a class of its own.

Inputs: images, classes. Outputs: images, classes.
"""

import stage


def main(job) -> None:
    from fedmeta.data.augment import rotate_classes
    from fedmeta.data.bank import ImageBank, write_bank
    from fedmeta.settings import part

    bank = ImageBank.open(job.input.images, job.input.classes)
    rotations = part(job.params.settings).data.rotations
    write_bank(job.output.images, job.output.classes, *rotate_classes(bank, rotations))


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
