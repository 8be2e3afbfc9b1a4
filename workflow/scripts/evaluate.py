"""Experiment 1: accuracy of the shared model before the attack, right after it, and after further benign rounds.

Inputs: images, classes, split, the keyed sets, the models clean, attacked and after. Output: a table of metrics.
"""

import evaluation_stage
import stage
import unpacking


def main(job) -> None:
    from fedmeta.evaluation.experiments import over_rounds, write_measurements

    files, unfinished = job.input, unpacking.open_unfinished(job)
    rows = over_rounds(evaluation_stage.open_client(job), files.clean, files.attacked, files.after, unfinished)
    write_measurements(job.output[0], job.wildcards.dataset, rows)
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
