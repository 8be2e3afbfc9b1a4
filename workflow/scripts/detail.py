"""What an adapted model predicts for each image, for figures that show single images.

Inputs: images, classes, split, the keyed sets, the model. Outputs: a table of the keyed images of all episodes, and the
images of one episode with their embeddings.
"""

import evaluation_stage
import stage
import unpacking


def main(job) -> None:
    from fedmeta.checkpoints import write_tensors
    from fedmeta.defences.interface import load_method
    from fedmeta.evaluation.details import details, write_keyed
    from fedmeta.evaluation.experiments import adapting

    adapt, options = load_method(job.params.defence, "learner")
    client = evaluation_stage.open_client(job)
    learner, start = adapting(client, adapt, options, job.input.model)
    unfinished = unpacking.open_unfinished(job)
    rows, episode, groups = details(client, learner, start, max(options.iterations), unfinished)
    write_keyed(job.output.keyed, rows)
    write_tensors(job.output.episode, episode, unpacking.provenance(job, groups=groups))
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
