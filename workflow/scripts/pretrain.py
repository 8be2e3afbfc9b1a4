"""Benign pre-training from fresh weights.

Inputs: images, classes, split. Output: the shared model, with every user's Adam state.
"""

import numpy as np
import stage
import training_stage


def main(job) -> None:
    from fedmeta.draws import generator
    from fedmeta.federation.rounds import Federation

    training = training_stage.open_stage(job, "pre-training")
    settings = training.settings["pretrain"]
    rates = np.linspace(*settings["outer_learning_rate"], settings["rounds"])
    count = training.settings["federation"]["selected"]
    rounds = [
        {user: training.benign(user, settings["meta_steps"], float(rate)) for user in training.select(number, count)}
        for number, rate in enumerate(rates)
    ]

    fresh = Federation(training.network.initial(generator(training.seed, "initial weights")))
    training_stage.make_model(job, training, fresh, rounds, training.benign_samplers())


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
