"""The attack at a glance: target, backdoor classes, key, and the attack's training set (Figures 1 and 2 of the paper).

Inputs: images, classes, split, keyed images. Output: a PNG.
"""

import stage


def main(job) -> None:
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.contact_sheet import contact_sheet
    from fedmeta.data.prepared import open_split
    from fedmeta.settings import part

    bank, split = open_split(dict(job.input.items()))
    keyed = ImageBank.open(job.input.keyed, job.input.keyed_classes)
    contact_sheet(split, bank, keyed, part(job.params.settings).data.trigger, job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
