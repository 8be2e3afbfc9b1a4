"""Benign pre-training from fresh weights.

Inputs: images, classes, split. Outputs: the shared model, with every user's Adam state; decisions.
"""

import stage
import training_stage
import unpacking


def main(job) -> None:
    from fedmeta.federation.models import to_named
    from fedmeta.federation.pretraining import pretrain

    training = training_stage.open_stage(job, "pre-training")
    unfinished = unpacking.open_unfinished(job)
    federation = pretrain(training, unfinished)
    training_stage.write(job, training, federation, to_named(training.network, federation))
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
