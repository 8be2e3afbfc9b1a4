"""Classes before rotation -> a table with the role of each example.

Inputs: images, classes. Output: split.csv.
"""

import stage


def main(job) -> None:
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.requirements import require_enough
    from fedmeta.data.split_drawing import draw_split
    from fedmeta.data.splits import Split, write_split
    from fedmeta.settings import for_dataset, part

    bank = ImageBank.open(job.input.images, job.input.classes)
    assignments = draw_split(bank.classes, part(job.params.settings), job.params.seed)
    # For validation only; not a param, so an edit of what episodes need does not redraw the split.
    whole = for_dataset(job.config, job.wildcards.dataset, job.wildcards.scenario)
    require_enough(bank, Split(assignments, bank), whole)
    write_split(job.output[0], assignments)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
