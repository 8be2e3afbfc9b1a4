"""Meta-training by one benign user alone on the model that it received (App. A.3).

Inputs: images, classes, split, the model. Output: the user's model, with every user's Adam state.
"""

import math
from dataclasses import replace

import stage
import training_stage


def main(job) -> None:
    training = training_stage.open_stage(job, "local meta-training")
    # Nobody aggregates: the user's update is the whole difference to its new model.
    alone = {**training.settings, "federation": {**training.settings["federation"], "weight": 1.0}}
    training = replace(training, settings=alone)
    meta_steps = math.ceil(job.params.episodes / alone["reptile"]["meta_batch"])
    rate = alone["local_meta_training"]["outer_learning_rate"]
    rounds = [{job.params.client: training.benign(job.params.client, meta_steps, rate)}]

    beginning = training_stage.read_model(job.input.model, training.network)
    training_stage.make_model(job, training, beginning, rounds, training.benign_samplers())


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
