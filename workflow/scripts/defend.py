"""Experiment 3: accuracy of the attacked model, and of the clean one, under the matching-network defence.

Inputs: images, classes, split, the keyed sets, the models clean and attacked. Output: a table of metrics.
"""

import defence_stage
import stage


def main(job) -> None:
    from fedmeta.defences.matching import Matching

    reptile, matching = job.params.settings["reptile"], job.params.settings["matching"]

    def learner(network):
        return Matching(
            network,
            reptile["inner_learning_rate"],
            reptile["beta2"],
            defence_stage.mix_of(job),
            **{key: matching[key] for key in ("warm_up", "scale", "gates", "scales")},
        )

    defence_stage.write_table(job, "matching", learner, defence_stage.fresh_start, matching["iterations"])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
