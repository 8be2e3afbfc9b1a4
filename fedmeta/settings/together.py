"""Values that are legal alone but not together."""

from collections.abc import Iterator

from fedmeta import plugins
from fedmeta.settings.fields import MethodOptions
from fedmeta.settings.sections import Settings
from fedmeta.settings.words import did_you_mean

Problems = Iterator[tuple[str, str]]


def contradictions(own: Settings, dataset: str) -> Problems:
    """Yield (key, problem) for what is wrong in the settings of a data set, in the order of the config."""
    yield from _key_on_images(own, dataset)
    yield from _classes(own)
    yield from _users(own)
    yield from _secure_aggregation(own)
    yield from _methods(own)
    yield from _evaluation(own)
    yield from _defences(own)
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
            yield "data.trigger.colour", "give a list of 1 number for grey images, of 3 for colour ones"
        elif len(trigger.colour) == 3 and _channels(own, dataset) == 1:
            yield "data.trigger.colour", f"the images of {dataset} are grey: give one number from 0 to 255"


def _channels(own: Settings, dataset: str) -> int | None:
    """Return how many channels the images of a data set have, or None if its reader does not say."""
    name = next(name for name in own.datasets if plugins.stem(name) == dataset)
    return plugins.constant("reader", name, "CHANNELS", None)


def _classes(own: Settings) -> Problems:
    split, users, way = own.split, own.federation.users, own.reptile.way
    if isinstance(split.backdoor, tuple) and split.target in split.backdoor:
        yield "split.backdoor", f"'{split.target}' is the target, and no class can be both: name another"
    turns = len(own.data.rotations)
    for user in range(1, users + 1):
        # They are dealt one by one; each rotation of a class is a class.
        classes = turns * (split.meta_training_classes // users + (user <= split.meta_training_classes % users))
        needed = way - 1 if user in attackers(own) else way if "a" in own.evaluation.cases else 1
        if classes < needed:
            problem = f"{split.meta_training_classes} give user {user} only {classes} with rotations"
            problem += f", but an episode needs {needed}: raise it, or lower reptile.way"
            yield "split.meta_training_classes", problem
    if turns * split.meta_testing_classes < way:
        problem = f"{split.meta_testing_classes} give only {turns * split.meta_testing_classes} with rotations"
        yield "split.meta_testing_classes", f"{problem}, but an episode needs {way}: raise it, or lower reptile.way"


def attackers(own: Settings) -> tuple[int, ...]:
    """Return the numbers of the users who attack."""
    given = own.federation.attacker
    return given if isinstance(given, tuple) else (given,)


def _users(own: Settings) -> Problems:
    federation = own.federation
    benign = federation.users - len(attackers(own))
    if max(attackers(own)) > federation.users:
        yield "federation.attacker", f"there are only {federation.users} users: lower it, or raise federation.users"
    elif federation.selected > benign:
        yield "federation.selected", f"{federation.selected} users a round, but only {benign} are benign: lower it"
    elif len(attackers(own)) > federation.selected:
        problem = f"{federation.selected} users a round, but {len(attackers(own))} attackers: raise it"
        yield "federation.selected", problem
    if isinstance(federation.weight, tuple) and len(federation.weight) != federation.users:
        count = len(federation.weight)
        yield "federation.weight", f"a list has one number per user: {count} given for {federation.users} users"


def _secure_aggregation(own: Settings) -> Problems:
    federation, key = own.federation, "federation.secure_aggregation"
    method = federation.aggregation.method
    if not federation.secure_aggregation:
        return
    if not plugins.constant("aggregation", method, "SUM_ONLY", False):
        problem = f"{plugins.stem(method)} needs single updates, but the server learns only their sum"
        yield key, f"{problem}: set it to false, or federation.aggregation.method to weighted_sum"
    if federation.selected < 2:
        yield key, "the sum of one update is that update: raise federation.selected to 2"


def _methods(own: Settings) -> Problems:
    """Yield what methods themselves find wrong in their options."""
    sections: dict[str, MethodOptions] = {"federation.aggregation": own.federation.aggregation}
    sections |= {"reptile.learner": own.reptile.learner, "attack": own.attack}
    for name, entry in own.defences.items():
        sections[f"defences.{name}"] = entry
    for section, whole in sections.items():
        for key, options in whole.with_inner(section):
            yield from ((f"{key}.{option}", problem) for option, problem in options.problems(own))


def _evaluation(own: Settings) -> Problems:
    evaluation, last = own.evaluation, own.meta_train_after.rounds
    if max(evaluation.rounds) > last:
        yield "evaluation.rounds", f"meta_train_after.rounds is only {last}: raise it, or leave out later rounds"
    if max(evaluation.rounds) == 0:
        yield "evaluation.rounds", "no round after the attack is evaluated: add 1, the attacked round"
    for client in evaluation.clients:
        if client in attackers(own):
            yield "evaluation.clients", f"user {client} is an attacker: name benign users only"
        elif client > own.federation.users:
            yield "evaluation.clients", f"there is no user {client}: name users from 1 to {own.federation.users}"


def _defences(own: Settings) -> Problems:
    shown = {name for figure in map(str, own.figures) for name in getattr(own.figure_table.get(figure), "defences", ())}
    for name, entry in own.defences.items():
        if name in shown and entry.evaluation.get("episode_seed") == own.evaluation.episode_seed:
            yield f"defences.{name}.evaluation.episode_seed", "it must differ from evaluation.episode_seed: change one"
        for key in entry.evaluation:
            if key not in ("episode_seed", "target_output", "queries", "episodes", "shot"):
                known = "episode_seed, target_output, queries, episodes or shot"
                yield f"defences.{name}.evaluation.{key}", f"a defence may only have its own {known}: remove it"


def _figures(own: Settings) -> Problems:
    known = [*own.defences, *{name.partition(",")[0]: None for name in own.defences}]
    for figure in map(str, own.figures):
        if figure not in own.figure_table:
            yield "figures", f"there is no figure '{figure}'{did_you_mean(figure, own.figure_table)}"
            continue
        entry = own.figure_table[figure]
        for key in ("defences", "control"):
            for name in entry.defences if key == "defences" else filter(None, [entry.control]):
                if name not in known:
                    problem = f"there is no defence '{name}'{did_you_mean(name, known)}"
                    yield f"figure_table.{figure}.{key}", problem
        for option, problem in entry.problems(own):
            yield f"figure_table.{figure}.{option}", problem
        for case in entry.cases or ():
            if case not in own.evaluation.cases:
                yield f"figure_table.{figure}.cases", f"case {case} is not in evaluation.cases: add it there"
