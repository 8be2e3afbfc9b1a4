"""Experiment 1: accuracy of the shared model before the attack, right after it, and after further benign rounds.

Inputs: images, classes, split, the keyed sets, the models clean, attacked and after. Output: a table of metrics.
"""

import stage


def main(job) -> None:
    from fedmeta.checkpoints import Unfinished, fingerprint
    from fedmeta.evaluation.experiments import over_rounds, write_measurements
    from fedmeta.evaluation.measuring import EvaluatedClient
    from fedmeta.settings import part

    files, scope, params = dict(job.input.items()), job.wildcards.scope, job.params
    unfinished = Unfinished(job.output[0], fingerprint(dict(params.items()), job.input))
    settings = part(params.settings)
    client = EvaluatedClient.from_files(files, params.client, scope, settings, params.seed, job.threads)
    rows = over_rounds(client, files["clean"], files["attacked"], files["after"], unfinished)
    write_measurements(job.output[0], job.wildcards.dataset, rows)
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
