"""Classes before rotation -> a table with the role of each example.

Inputs: images, classes. Output: split.csv.
"""

import stage


def main(job) -> None:
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.splits import draw_split, write_split

    bank = ImageBank.open(job.input.images, job.input.classes)
    settings = {**job.params.split, **job.params.federation}
    write_split(job.output[0], draw_split(bank.classes, settings, job.params.seed))


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
