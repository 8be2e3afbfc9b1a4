"""Experiment 3: accuracy of the attacked model, and of the clean one, under the matching-network defence.

Inputs: images, classes, split, the keyed sets, the models clean and attacked. Output: a table of metrics.
"""

import evaluation_stage
import stage
import training_stage


def main(job) -> None:
    from fedmeta.defences.matching import Matching, require_shot
    from fedmeta.evaluation import write_measurements
    from fedmeta.learning.engine import Start

    reptile, matching, seed = (job.params.reptile, job.params.matching, job.params.seed)
    models = ("attacked", "clean")
    require_shot(job.params.evaluation["shot"])

    def learner(network):
        return Matching(
            network,
            reptile["inner_learning_rate"],
            reptile["beta2"],
            job.params.delta,
            seed,
            matching["warm_up"],
            matching["scale"],
        )

    def starts(network):
        return [Start.fresh(training_stage.read_model(job.input[model], network).shared) for model in models]

    columns = {"defence": "matching", "delta": job.params.delta}
    measurements = evaluation_stage.measure(job, learner, starts, matching["iterations"])
    rows = [
        evaluation_stage.row_of(job, "matching", each, model=models[each.model], step=each.observed, **columns)
        for each in measurements
    ]
    write_measurements(job.output[0], rows)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
