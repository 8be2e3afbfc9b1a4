"""The rounds from 2 on: benign meta-training, and the attack if it continues.

Inputs: images, classes, split, the attack's training set (keyed, keyed_classes), the attacked model. Outputs: the
shared model after each later round, from `round-2` on; decisions.
"""

import stage
import training_stage
import unpacking


def main(job) -> None:
    from fedmeta.federation.models import read_federation
    from fedmeta.federation.stages import meta_train_after

    training = training_stage.open_stage(job, "meta-training after", first_round=2)
    before = read_federation(job.input.model, training.network)
    unfinished = unpacking.open_unfinished(job)
    models, federation = meta_train_after(training, training_stage.open_keyed(job), before, unfinished)
    training_stage.write(job, training, federation, models)
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
