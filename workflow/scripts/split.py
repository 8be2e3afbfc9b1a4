"""Classes before rotation -> a table with the role of each example.

Inputs: images, classes. Output: split.csv.
"""

import data_stage
import stage


def main(job) -> None:
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.requirements import require_enough
    from fedmeta.data.splits import Split, draw_split, write_split

    bank = ImageBank.open(job.input.images, job.input.classes)
    settings = {**job.params.settings["split"], **job.params.settings["federation"]}
    assignments = draw_split(bank.classes, settings, job.params.seed)
    require_enough(bank, Split(assignments, bank), data_stage.settings_of_data_set(job))
    write_split(job.output[0], assignments)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
