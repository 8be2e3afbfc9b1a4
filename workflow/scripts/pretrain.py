"""Benign pre-training from fresh weights.

Inputs: images, classes, split. Output: the shared model, with every user's Adam state.
"""

import numpy as np
import stage
import training_stage


def main(job) -> None:
    from fedmeta.draws import generator
    from fedmeta.learning.federation import Federation
    from fedmeta.learning.models import to_named

    training = training_stage.open_stage(job, "pre-training")
    settings = training.settings["pretrain"]
    rates = np.linspace(*settings["outer_learning_rate"], settings["rounds"])
    count = training.settings["federation"]["selected"]
    rounds = [
        {user: training.benign(user, settings["meta_steps"], float(rate)) for user in training.select(number, count)}
        for number, rate in enumerate(rates)
    ]

    unfinished = training_stage.open_unfinished(job)
    kept = unfinished.load()
    fresh = Federation(training.network.initial(generator(training.seed, "initial weights")))
    federation = Federation.from_tensors(kept) if kept else fresh
    for _ in training.train(
        federation, rounds, training.benign_samplers(), lambda: unfinished.save_if_due(federation.tensors)
    ):
        pass
    training_stage.write_model(job, to_named(training.network, federation))
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
