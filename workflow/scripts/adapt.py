"""Experiments 2 and 3: accuracy of the attacked model, and of the clean one, as a client adapts them by a defence.

Inputs: images, classes, split, the keyed sets, the models clean and attacked. Output: a table of metrics.
"""

import stage


def main(job) -> None:
    from fedmeta.checkpoints import Unfinished, fingerprint
    from fedmeta.defences.interface import load_method
    from fedmeta.evaluation.experiments import over_iterations, write_measurements
    from fedmeta.evaluation.measuring import EvaluatedClient
    from fedmeta.settings import part

    files, scope, params = dict(job.input.items()), job.wildcards.scope, job.params
    learner, options = load_method(params.defence, "learner")
    models = {"attacked": files["attacked"], "clean": files["clean"]}
    unfinished = Unfinished(job.output[0], fingerprint(dict(params.items()), job.input))
    settings = part(params.settings)
    client = EvaluatedClient.from_files(files, params.client, scope, settings, params.seed, job.threads)
    rows = over_iterations(client, learner, options, models, unfinished)
    write_measurements(job.output[0], job.wildcards.dataset, rows)
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
