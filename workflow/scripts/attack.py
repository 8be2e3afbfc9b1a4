"""Round 1, the first after pre-training, in which attackers may take part.

Inputs: images, classes, split, the attack's training set (keyed, keyed_classes), the pre-trained model. Outputs: the
shared model after the round; decisions.
"""

import stage
import training_stage
import unpacking


def main(job) -> None:
    from fedmeta.federation.models import read_federation, to_named
    from fedmeta.federation.stages import attacked_round

    training = training_stage.open_stage(job, "attacked round")
    before = read_federation(job.input.model, training.network)
    unfinished = unpacking.open_unfinished(job)
    federation = attacked_round(training, training_stage.open_keyed(job), before, unfinished)
    training_stage.write(job, training, federation, to_named(training.network, federation))
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
