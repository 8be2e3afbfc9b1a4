"""Experiment 2: accuracy of the attacked model, and of the clean one, over long supervised fine-tuning.

Inputs: images, classes, split, the keyed sets, the models clean and attacked. Output: a table of metrics.
"""

import evaluation_stage
import stage


def main(job) -> None:
    from fedmeta.defences.fine_tuning import FineTuning
    from fedmeta.evaluation import write_measurements

    reptile = job.params.reptile
    models = ("attacked", "clean")

    def learner(network):
        return FineTuning(network, reptile["inner_learning_rate"], reptile["beta2"])

    def starts(network):
        return [evaluation_stage.start_of(job, job.input[model], network) for model in models]

    measurements = evaluation_stage.measure(job, learner, starts, job.params.fine_tuning["iterations"])
    rows = [
        evaluation_stage.row_of(job, "fine_tuning", each, model=models[each.model], step=each.observed)
        for each in measurements
    ]
    write_measurements(job.output[0], rows)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
