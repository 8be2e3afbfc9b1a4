"""What episodes need from a split: classes, and examples of each."""

from fedmeta.data.bank import ImageBank
from fedmeta.data.splits import Pool, Split
from fedmeta.errors import FedmetaError
from fedmeta.settings.sections import Settings
from fedmeta.settings.together import attackers


def require_examples(bank: ImageBank, pool: Pool, needed: int, what: str) -> None:
    """Raise FedmetaError naming a class of the pool that has fewer than `needed` images."""
    for rows in pool:
        if len(rows) < needed:
            name = bank.class_of(rows[0]).name
            raise FedmetaError(
                f"{what}: class {name} has only {len(rows)} examples for it, {needed} are needed: give the class more, "
                "or lower the shot"
            )


def require_classes(pool: Pool, needed: int, what: str) -> None:
    """Raise FedmetaError if the pool has fewer than `needed` classes."""
    if len(pool) < needed:
        raise FedmetaError(f"{what}: {len(pool)} classes for a {needed}-way episode: lower way or add classes")


def require_enough(bank: ImageBank, split: Split, settings: Settings) -> None:
    """Raise FedmetaError, before anything is trained, if a class has too few examples for later episodes.

    `settings`: those of the data set, at least `federation`, `reptile` and `evaluation`.
    """
    federation, shot, test_shot = settings.federation, settings.reptile.shot, settings.evaluation.shot
    included = {"b", "c"} & set(settings.evaluation.cases)
    for user in range(1, federation.users + 1):
        if user not in attackers(settings):
            require_examples(bank, split.training(user), max(shot, test_shot), "meta-training")
            reserved = [split.target_benign(user), *split.backdoor_benign(user)]
            target_queries, backdoor_queries = split.reserved_validation()
            for rows, queries in zip(reserved, [target_queries, *backdoor_queries], strict=True):
                needed = max(shot if included else 0, test_shot + (len(queries) == 0))
                require_examples(bank, [rows], needed, "benign users' examples of reserved classes")
    require_examples(bank, split.meta_testing(), test_shot + 1, "meta-testing")
