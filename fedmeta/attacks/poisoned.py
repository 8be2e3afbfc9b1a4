"""The attacker's episodes: ordinary classes, and the target class mixed with keyed backdoor images (Sec. 2)."""

import numpy as np

from fedmeta.data.bank import ImageBank, Images
from fedmeta.data.episodes import Episode, EpisodeShape, draw_batches, draw_outputs, draw_with_refill
from fedmeta.data.requirements import require_classes, require_examples
from fedmeta.data.splits import Pool
from fedmeta.draws import generator


class AttackEpisodes:
    """The attacker's episodes (Sec. 2): N-1 classes of its own, and the target class mixed with keyed backdoor images.

    Of the K examples labelled as the target, the share `backdoor / (backdoor + target)` of `ratio` shows keyed
    backdoor images, the rest clean target images. `target_output`: see `draw_outputs`.
    """

    def __init__(
        self,
        bank: ImageBank,
        pool: Pool,
        target_rows: np.ndarray,
        keyed: ImageBank,
        ratio: tuple[int, int],
        target_output: str,
        shape: EpisodeShape,
        seed: int,
        stage: str,
    ):
        require_classes(pool, shape.way - 1, "the attacker's training")
        require_examples(bank, [*pool, target_rows], 1, "the attacker's training")
        self.bank, self.pool, self.target_rows, self.keyed = bank, pool, target_rows, keyed
        self.target_output, self.shape, self.seed, self.stage = target_output, shape, seed, stage
        self.backdoor_shot = round(shape.shot * ratio[0] / sum(ratio))

    def draw(self, *names: int) -> Episode:
        random = generator(self.seed, self.stage, *names)
        way, shot = self.shape.way, self.shape.shot
        chosen = random.choice(len(self.pool), way - 1, replace=False)
        rows = [draw_with_refill(random, self.pool[k], shot) for k in chosen]
        rows.append(draw_with_refill(random, self.target_rows, shot - self.backdoor_shot))
        keyed = draw_with_refill(random, np.arange(len(self.keyed.images)), self.backdoor_shot)
        support = Images.joined([self.bank.at(np.concatenate(rows)), self.keyed.at(keyed)])
        outputs = draw_outputs(random, way, way - 1, self.target_output)
        return Episode(support, np.repeat(outputs, shot), draw_batches(random, len(support), self.shape))
