"""Values that are legal each but not together."""

import re
from collections.abc import Iterator

from fedmeta.settings.sections import Settings

Problems = Iterator[tuple[str, str]]

GREY = ("glyphs", "omniglot")  # data sets of which it is known that images have one channel


def contradictions(own: Settings, dataset: str) -> Problems:
    """Yield (key, problem) for what is wrong in the settings of a data set, in the order of the config."""
    yield from _key_on_images(own, dataset)
    yield from _classes(own)
    yield from _users(own)
    yield from _attackers_episode(own)
    yield from _evaluation(own)
    yield from _figures(own)


def _key_on_images(own: Settings, dataset: str) -> Problems:
    side, trigger = own.data.size, own.data.trigger
    if 0 not in own.data.rotations:
        yield "data.rotations", "reserved classes are shown upright: add 0"
    if isinstance(trigger.position, tuple):
        needed = max(trigger.position) + trigger.size
    else:
        needed = trigger.size + (0 if trigger.position == "centre" else trigger.margin)
    if needed > side:
        problem = f"{trigger.size} x {trigger.size} pixels do not fit there on images of {side} x {side} (data.size)"
        yield "data.trigger", f"{problem}: make the key smaller or move it"
    if isinstance(trigger.colour, tuple):
        if len(trigger.colour) == 2:
            yield "data.trigger.colour", "a list has 1 number on grey images, 3 on colour ones"
        elif len(trigger.colour) == 3 and dataset in GREY:
            yield "data.trigger.colour", f"the images of {dataset} are grey: give one number from 0 to 255"


def _classes(own: Settings) -> Problems:
    split, users, way = own.split, own.federation.users, own.reptile.way
    if isinstance(split.backdoor, tuple) and split.target in split.backdoor:
        yield "split.backdoor", f"'{split.target}' is the target: no class can be both"
    turns = len(own.data.rotations)
    for user in range(1, users + 1):
        # They are dealt one by one; each rotation of a class is a class.
        classes = turns * (split.meta_training_classes // users + (user <= split.meta_training_classes % users))
        needed = way - 1 if user == own.federation.attacker else way if "a" in own.evaluation.cases else 1
        if classes < needed:
            problem = f"{split.meta_training_classes} give user {user} {classes} with rotations"
            yield "split.meta_training_classes", f"{problem}, an episode needs {needed}: raise it, or lower reptile.way"
    if turns * split.meta_testing_classes < way:
        problem = f"{split.meta_testing_classes} give {turns * split.meta_testing_classes} with rotations"
        yield "split.meta_testing_classes", f"{problem}, an episode needs {way}: raise it, or lower reptile.way"


def _users(own: Settings) -> Problems:
    federation = own.federation
    if federation.selected > federation.users - 1:
        yield "federation.selected", f"{federation.selected} users a round, but only {federation.users - 1} are benign"
    if federation.attacker > federation.users:
        yield "federation.attacker", f"there are only {federation.users} users"
    if isinstance(federation.weight, tuple) and len(federation.weight) != federation.users:
        count = len(federation.weight)
        yield "federation.weight", f"a list has one number per user: {count} given for {federation.users} users"


def _attackers_episode(own: Settings) -> Problems:
    attack, reptile = own.attack, own.reptile
    examples = reptile.way * reptile.shot
    if attack.inner_epochs * examples < min(reptile.inner_batch, examples):
        problem = f"{attack.inner_epochs:g} passes over {examples} examples are not one step of {reptile.inner_batch}"
        yield "attack.inner_epochs", f"{problem} (reptile.inner_batch): raise it"
    keyed, clean = attack.backdoor_to_target
    of_backdoor = round(reptile.shot * keyed / (keyed + clean))  # as in AttackEpisodes
    if not 0 < of_backdoor < reptile.shot:
        missing = "keyed" if of_backdoor == 0 else "clean"
        problem = f"{keyed} to {clean} among reptile.shot = {reptile.shot} images leaves no {missing} image"
        yield "attack.backdoor_to_target", f"{problem} in an episode: bring the two numbers closer, or raise the shot"


def _evaluation(own: Settings) -> Problems:
    evaluation, last = own.evaluation, own.meta_train_after.rounds
    if evaluation.episode_seed == evaluation.other_episode_seed:
        yield "evaluation.other_episode_seed", "it must differ from evaluation.episode_seed"
    if max(evaluation.rounds) > last:
        yield "evaluation.rounds", f"meta_train_after.rounds is only {last}"
    if max(evaluation.rounds) == 0:
        yield "evaluation.rounds", "no round after the attack is evaluated: add 1, the attacked round"
    for client in evaluation.clients:
        if client == own.federation.attacker:
            yield "evaluation.clients", f"user {client} is the attacker"
        elif client > own.federation.users:
            yield "evaluation.clients", f"there is no user {client}"
    for section in ("fine_tuning", "matching"):
        if max(getattr(own, section).iterations) == 0:
            yield f"{section}.iterations", "the highest is the length of fine-tuning: add one above 0"


def _figures(own: Settings) -> Problems:
    if "ablation" in own.figures and 0 not in own.matching.iterations:
        yield "matching.iterations", "figure ablation shows the attention before fine-tuning: add 0"
    for delta in own.figure_delta.deltas:
        if float(f"{delta:g}") != delta or not re.fullmatch(r"[0-9.]+", f"{delta:g}"):
            problem = f"{delta!r} cannot be part of a file's name: give 0, or 0.0001 to 1 with at most six digits"
            yield "figure_delta.deltas", problem
    for figure, shown in (("ablation", own.figure_ablation), ("delta", own.figure_delta)):
        for case in shown.cases if figure in own.figures else ():
            if case not in own.evaluation.cases:
                yield f"figure_{figure}.cases", f"case {case} is not among evaluation.cases"
