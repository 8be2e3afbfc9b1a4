"""Experiment 2: accuracy of the attacked model, and of the clean one, over long supervised fine-tuning.

Inputs: images, classes, split, the keyed sets, the models clean and attacked. Output: a table of metrics.
"""

import defence_stage
import evaluation_stage
import stage


def main(job) -> None:
    from fedmeta.defences.fine_tuning import FineTuning

    reptile, mixed = job.params.settings["reptile"], job.params.delta is not None

    def learner(network):
        mix = defence_stage.mix_of(job) if mixed else None
        return FineTuning(network, reptile["inner_learning_rate"], reptile["beta2"], mix)

    start_of = defence_stage.fresh_start if mixed else evaluation_stage.start_of
    defence_stage.write_table(job, "fine_tuning", learner, start_of, job.params.settings["fine_tuning"]["iterations"])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
