"""The paper's attack (Sec. 2 and 3): selected once, the attacker trains on poisoned episodes and boosts its update.

`rounds` lets the attacker return after round 1; in the paper it attacks once.
"""

from collections.abc import Collection, Iterator
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from fedmeta.attacks import interface
from fedmeta.attacks.interface import Training
from fedmeta.attacks.poisoned import AttackEpisodes
from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import EpisodeShape
from fedmeta.settings.fields import Count, Factor, MethodOptions, Pair, Rate, Several, TargetOutput


class Options(MethodOptions):
    rounds: Several[Count] = Field(
        (1,),
        description="rounds with the attackers: 1, the first after pre-training, and any later ones; [1]: one shot",
        exclude_if=lambda rounds: rounds == (1,),  # leaves the jobs of one shot as before this option existed
    )
    meta_steps: Count = Field(40, description="meta-steps of the attacker in a round")
    meta_batch: Annotated[int, Field(ge=1, le=100_000)] = Field(
        4, description="B of the attacker, episodes of a meta-step"
    )
    inner_epochs: Annotated[float, Field(gt=0, le=10_000)] = Field(6, description="passes over an episode's examples")
    outer_learning_rate: Rate = Field(0.3, description="epsilon of the attacker")
    boost: Factor = Field(3, description="lambda, by which the attacker multiplies its update")
    backdoor_to_target: Pair[Annotated[int, Field(ge=1, le=10_000)]] = Field(
        (2, 3), description="keyed backdoor images and clean target images among those labelled as the target"
    )
    target_output: TargetOutput = Field(
        "last", description="the network output of the target class: last (the N-th, as in the paper) or random"
    )

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        reptile = own.reptile
        examples = reptile.way * reptile.shot
        if self.inner_epochs * examples < min(reptile.inner_batch, examples):
            passes = f"{self.inner_epochs:g} passes over {examples} examples"
            problem = f"{passes} do not fill one step of {reptile.inner_batch} (reptile.inner_batch)"
            yield "inner_epochs", f"{problem}: raise it"
        keyed, clean = self.backdoor_to_target
        of_backdoor = round(reptile.shot * keyed / (keyed + clean))  # as in AttackEpisodes
        if not 0 < of_backdoor < reptile.shot:
            missing = "keyed" if of_backdoor == 0 else "clean"
            problem = f"{keyed} to {clean} among reptile.shot = {reptile.shot} images leaves no {missing} image"
            yield "backdoor_to_target", f"{problem} in an episode: bring the two numbers closer, or raise the shot"
        if 1 not in self.rounds:
            yield "rounds", "add 1, the first round after pre-training: defences are measured on the model after it"
        if max(self.rounds) > own.meta_train_after.rounds:
            yield "rounds", f"meta_train_after.rounds is only {own.meta_train_after.rounds}"


class Attack(interface.Attack):
    """With delta_a = lambda (theta_a - theta_G) and weights alpha = 1 / lambda, the attacker's model replaces theta_G,
    apart from the benign users' updates (model replacement).
    """

    def attackers(self, number: int) -> Collection[int]:
        return self.data.attackers if number in self.options.rounds else ()

    def episodes(self, user: int) -> AttackEpisodes:
        data, options, reptile = self.data, self.options, self.data.settings.reptile
        steps = inner_steps(options.inner_epochs, reptile.way, reptile.shot, reptile.inner_batch)
        return AttackEpisodes(
            data.bank,
            data.split.training(user),
            data.split.target_attacker(),
            self.keyed(user),
            options.backdoor_to_target,
            options.target_output,
            EpisodeShape(reptile.way, reptile.shot, steps, reptile.inner_batch),
            data.seed,
            data.stage,
        )

    def keyed(self, user: int) -> ImageBank:
        """Return the backdoor images that an attacker labels as the target."""
        return self.data.keyed

    def training(self, user: int, number: int) -> Training:
        return Training(self.options.meta_steps, self.options.meta_batch, self.options.outer_learning_rate)

    def update(self, user: int, number: int, shared: Tensor, local: Tensor) -> Tensor:
        return self.options.boost * (local - shared)


def inner_steps(inner_epochs: float, way: int, shot: int, inner_batch: int) -> int:
    """Return the inner steps of an attacker's episode: `inner_epochs` passes over its N * K examples, rounded up."""
    return -int(-inner_epochs * way * shot // inner_batch)
