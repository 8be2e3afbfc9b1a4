"""Backdoor images -> the attack's training and validation sets, with the key stamped on each image.

Inputs: images, classes, split. Outputs: for each of the two sets a bank of keyed images, with a class for each
backdoor class.
"""

import logging

import stage

logger = logging.getLogger(__name__)

MOST_HIDDEN = 0.25  # share of images without a warning


def main(job) -> None:
    import numpy as np

    from fedmeta.data.bank import write_bank
    from fedmeta.data.prepared import open_split
    from fedmeta.data.trigger import hidden, keyed_images
    from fedmeta.settings import part

    bank, split = open_split(dict(job.input.items()))
    trigger = part(job.params.settings).data.trigger
    for role in ("attack_training", "attack_validation"):
        pool = split.backdoor(role)
        share = hidden(bank.images[np.concatenate(pool)], trigger)
        if share > MOST_HIDDEN:
            advice = "such an attack teaches the images, not the key; choose another data.trigger.colour"
            logger.warning("the key hardly shows on %.0f%% of the images for %s: %s", 100 * share, role, advice)
        keyed = keyed_images(bank, pool, split.names[1], trigger)
        write_bank(job.output[role], job.output[f"{role}_classes"], *keyed)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
