"""Experiments 2 and 3: accuracy of the attacked model, or of the clean one, as a client adapts it with a defence.

Inputs: images, classes, split, the keyed sets, the model. Output: a table of metrics.
"""

import evaluation_stage
import stage
import unpacking


def main(job) -> None:
    from fedmeta.defences.interface import load_method
    from fedmeta.evaluation.columns import MODELS
    from fedmeta.evaluation.experiments import over_iterations, write_measurements

    learner, options = load_method(job.params.defence, "learner")
    model, unfinished = MODELS[job.wildcards.model], unpacking.open_unfinished(job)
    rows = over_iterations(evaluation_stage.open_client(job), learner, options, model, job.input.model, unfinished)
    write_measurements(job.output[0], job.wildcards.dataset, rows)
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
