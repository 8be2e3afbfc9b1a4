"""Drawing a split: what each class is for, and whose each of its examples is. Roles: see `splits`."""

import difflib
from collections.abc import Mapping, Sequence

from fedmeta.data.bank import ImageClass
from fedmeta.data.splits import Assignment, check_split
from fedmeta.draws import generator
from fedmeta.errors import FedmetaError
from fedmeta.settings.sections import Settings
from fedmeta.settings.together import attackers


def draw_split(classes: Sequence[ImageClass], settings: Settings, seed: int) -> list[Assignment]:
    """Return the roles of the images of `classes` (before rotation); an image without a role has no row.

    `settings`: `users` and `attacker` of `federation`, and those of `split`. The `meta_training_classes` are dealt as
    evenly as possible, with `validation_examples` of each held out. The `meta_testing_classes` are drawn from those
    that the data set itself sets apart, if it does, or else like the others. `target` is a name, or None to draw one;
    `backdoor` is names, or how many to draw.

    A reserved class's examples are taken in their own order. The first `benign` are the benign users'. The next
    `attacker_target` of the target class are the attackers'. The last of a backdoor class (the extra ones, if there are
    enough) are `attack_training` and `attack_validation`. If there are too few, the benign ones give way. Of those left
    over, up to `validation_examples` are held out. `reserved`: each benign user has all benign examples of reserved
    classes (`shared`) or a part (`divided`). Several attackers share theirs.

    Raises FedmetaError for unknown names, and if there are too few classes or examples.
    """
    set_apart, users = {k for k, c in enumerate(classes) if c.meta_testing}, settings.federation.users
    target, backdoors = _reserved_classes(classes, settings, seed, set_apart)
    ordinary = [k for k in range(len(classes)) if k != target and k not in backdoors]
    training, testing = _ordinary_classes(ordinary, settings, seed, set_apart)
    split, held_out, attacking = [], settings.split.validation_examples, attackers(settings)
    attacker = attacking[0] if len(attacking) == 1 else None  # several share the examples
    for dealt, k in enumerate(training):
        split += _training_roles(k, classes[k], 1 + dealt % users, held_out, seed)
    split.sort()
    for k in sorted(testing):
        split += [Assignment(k, e, "meta_testing", "meta_testing") for e in range(classes[k].own)]
    split += _reserved_roles(target, classes[target], "target", {"attacker": ("attacker_target", attacker)}, settings)
    attack = {"attack_training": ("attack_training", attacker), "attack_validation": ("attack_validation", None)}
    for k in backdoors:
        split += _reserved_roles(k, classes[k], "backdoor", attack, settings)
    check_split(split)
    return split


def _reserved_classes(
    classes: Sequence[ImageClass], settings: Settings, seed: int, set_apart: set[int]
) -> tuple[int, list[int]]:
    """Return the target class and the backdoor classes: the named ones, and the others drawn."""
    target, backdoor = settings.split.target, settings.split.backdoor
    named_target = [] if target is None else [_find_class(target, classes)]
    named_backdoors = [] if isinstance(backdoor, int) else [_find_class(name, classes) for name in backdoor]
    if len({*named_target, *named_backdoors}) < len(named_target) + len(named_backdoors):
        raise FedmetaError("a class is named twice among target and backdoor classes: name each once")

    to_draw = (target is None) + (backdoor if isinstance(backdoor, int) else 0)
    free = [k for k in range(len(classes)) if k not in {*named_target, *named_backdoors, *set_apart}]
    if to_draw > len(free):
        raise FedmetaError(
            f"{to_draw} target and backdoor classes are asked for, but there are only {len(free)}: lower split.backdoor"
        )
    drawn = generator(seed, "split reserved").permutation(free)[:to_draw].tolist()
    return (named_target or [drawn.pop(0)])[0], named_backdoors or drawn


def _find_class(name: str, classes: Sequence[ImageClass]) -> int:
    names = [c.name for c in classes]
    if name in names:
        return names.index(name)
    closest = difflib.get_close_matches(name, names, n=1, cutoff=0)[0]
    raise FedmetaError(f"there is no class named {name!r}, the closest is {closest!r}: check the name")


def _ordinary_classes(
    ordinary: list[int], settings: Settings, seed: int, set_apart: set[int]
) -> tuple[list[int], list[int]]:
    """Return the classes for meta-training and for meta-testing, each in the order drawn."""
    for_training, for_testing = settings.split.meta_training_classes, settings.split.meta_testing_classes
    order = generator(seed, "split ordinary").permutation(ordinary).tolist()
    if set_apart:
        testing = [k for k in order if k in set_apart][:for_testing]
        training = [k for k in order if k not in set_apart]
    else:
        testing, training = order[:for_testing], order[for_testing:]
    if len(training) < for_training or len(testing) < for_testing:
        raise FedmetaError(
            f"{for_training} classes for meta-training and {for_testing} for meta-testing are asked for, but besides "
            f"the reserved ones there are {len(training)} and {len(testing)}: lower split.meta_training_classes or "
            "split.meta_testing_classes"
        )
    if for_training < (users := settings.federation.users):
        raise FedmetaError(f"{for_training} meta-training classes are too few for {users} users: raise their number")
    return training[:for_training], testing


def _training_roles(k: int, image_class: ImageClass, user: int, held_out: int, seed: int) -> list[Assignment]:
    own = image_class.own
    if held_out >= own:
        raise FedmetaError(f"class {image_class.name} has {own} examples, validation_examples is {held_out}: lower it")
    validation = set(generator(seed, "split held out", k).permutation(own)[:held_out].tolist())
    return [Assignment(k, e, "training", "validation" if e in validation else "training", user) for e in range(own)]


def _reserved_roles(
    k: int, image_class: ImageClass, kind: str, attack: Mapping[str, tuple[str, int | None]], settings: Settings
) -> list[Assignment]:
    """Return the roles of a reserved class; `attack` maps a role to its setting and the user who holds it."""
    own = image_class.own
    examples = image_class.examples if kind == "backdoor" else own
    for_attack = [(role, holder) for role, (key, holder) in attack.items() for _ in range(getattr(settings.split, key))]
    benign = min(settings.split.benign, own, examples - len(for_attack))
    benign_users = [user for user in range(1, settings.federation.users + 1) if user not in attackers(settings)]
    divided = settings.split.reserved == "divided"
    if benign < (len(benign_users) if divided else 1):
        raise FedmetaError(
            f"{kind} class {image_class.name} has {examples} examples, {len(for_attack)} of them for the attack; too "
            "few are left for the benign users: add images, or lower the numbers in split"
        )
    holders = [benign_users[e % len(benign_users)] if divided else None for e in range(benign)]
    first = examples - len(for_attack) if kind == "backdoor" else benign
    split = [Assignment(k, e, kind, "benign", holder) for e, holder in enumerate(holders)]
    split += [Assignment(k, e, kind, role, holder, int(e >= own)) for e, (role, holder) in enumerate(for_attack, first)]
    taken = {assignment.example for assignment in split}
    left_over = [e for e in range(own) if e not in taken]
    return split + [Assignment(k, e, kind, "validation") for e in left_over[: settings.split.validation_examples]]
