"""Experiment 1: accuracy of the shared model before the attack, right after it, and after further benign rounds.

Inputs: images, classes, split, the keyed sets, the models clean, attacked and after. Output: a table of metrics.
"""

import evaluation_stage
import stage


def main(job) -> None:
    from fedmeta.evaluation import write_measurements
    from fedmeta.learning.reptile import Supervised

    reptile, evaluation = job.params.settings["reptile"], job.params.settings["evaluation"]
    rounds = evaluation["rounds"]

    def learner(network):
        return Supervised(network, reptile["inner_learning_rate"], reptile["beta2"])

    def starts(network):
        files = {0: (job.input.clean, ""), 1: (job.input.attacked, "")}
        files |= {number: (job.input.after, f"round-{number}/") for number in rounds if number > 1}
        return [evaluation_stage.start_of(job, files[number][0], network, files[number][1]) for number in (0, *rounds)]

    rows = []
    for measurement in evaluation_stage.measure(job, learner, starts, [evaluation["inner_steps"]]):
        clean = measurement.model == 0
        for step in rounds if clean else [rounds[measurement.model - 1]]:
            model = "clean" if clean else "attacked"
            rows.append(evaluation_stage.row_of(job, "meta_training", measurement, model=model, step=step))
    write_measurements(job.output[0], rows)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
