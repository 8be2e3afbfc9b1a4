"""Backdoor images -> the attack's training and validation sets, with the key stamped on each image.

Inputs: images, classes, split. Outputs: for each of the two sets a bank of keyed images, with a class for each
backdoor class.
"""

import data_stage
import stage


def main(job) -> None:
    from fedmeta.data.bank import write_bank
    from fedmeta.data.trigger import keyed_images

    bank, split = data_stage.open_data(job)
    for role in ("attack_training", "attack_validation"):
        keyed = keyed_images(bank, split.backdoor(role), split.names[1], job.params.trigger)
        write_bank(job.output[role], job.output[f"{role}_classes"], *keyed)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
