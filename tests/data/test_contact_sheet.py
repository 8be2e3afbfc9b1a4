"""The attack at a glance: what its titles say."""

import matplotlib.text
import pytest
from helpers.random_bank import make_bank
from helpers.split_settings import split_settings

from fedmeta.data.bank import ImageBank
from fedmeta.data.contact_sheet import contact_sheet, panels
from fedmeta.data.split_drawing import draw_split
from fedmeta.data.splits import Split
from fedmeta.settings.sections import Trigger

SETTINGS = {
    **{"users": 4, "attacker": 1, "meta_training_classes": 4, "meta_testing_classes": 1, "validation_examples": 2},
    **{"target": "class 0", "backdoor": ["class 1", "class 2"], "reserved": "shared"},
    **{"benign": 3, "attacker_target": 2, "attack_training": 3, "attack_validation": 2},
}
TRIGGER = Trigger(shape="square", size=3, position="bottom-right", margin=1, colour=255)


def drawn(extra: int) -> tuple[Split, ImageBank, ImageBank]:
    """Return a split, its bank, in which `extra` images of class 1 are extra ones, and the attack training set."""
    made = make_bank(8, 10)
    bank = ImageBank(made.images, [c._replace(extra=extra if c.name == "class 1" else 0) for c in made.classes])
    split = Split(draw_split(bank.classes, split_settings(SETTINGS), 1), bank)
    return split, bank, make_bank(2, 3)


# The attack's five images of a class are its last: three to train on, then two to validate with.
@pytest.mark.parametrize(
    ("extra", "words"), [(0, "all of the data set's own"), (4, "2 of them extra ones"), (5, "3 of them extra ones")]
)
def test_the_title_says_whether_the_attack_has_extra_images(extra, words):
    assert panels(*drawn(extra), TRIGGER)[-1].title == f"(d) attack training set (6 images, {words})"


def test_the_title_says_that_all_are_extra_images():
    split, bank, keyed = drawn(0)
    bank = ImageBank(bank.images, [c._replace(extra=5) for c in bank.classes])
    assert panels(split, bank, keyed, TRIGGER)[-1].title.endswith("(6 images, all extra ones)")


@pytest.mark.parametrize("name", ["$x^{$", r"$\frac{$", "$a$ and $b$", "100% of \\$ {x}_1"])
def test_names_of_classes_are_shown_as_they_are(tmp_path, monkeypatch, name):
    split, bank, keyed = drawn(0)
    bank = ImageBank(bank.images, [c._replace(name=f"{name} {c.name}") for c in bank.classes])
    settings = SETTINGS | {"target": f"{name} class 0", "backdoor": [f"{name} class 1", f"{name} class 2"]}
    split = Split(draw_split(bank.classes, split_settings(settings), 1), bank)
    shown = []
    drawn_text = matplotlib.text.Text._preprocess_math

    def note(text, words):
        words, mathematics = drawn_text(text, words)
        shown.append((words, mathematics))
        return words, mathematics

    monkeypatch.setattr(matplotlib.text.Text, "_preprocess_math", note)
    contact_sheet(split, bank, keyed, TRIGGER, tmp_path / "sheet.png")
    assert {(words, bool(mathematics)) for words, mathematics in shown if name in words} == {
        (f"(a) target class: {name} class 0", False), (f"{name} class 1", False), (f"{name} class 2", False),
    }  # fmt: skip
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_images_are_grouped_by_the_role_that_the_split_gives_them():
    split, bank, keyed = drawn(0)
    target, backdoors, *_ = panels(split, bank, keyed, TRIGGER)
    assert target.headings == ["benign users: 3", "attacker, no key: 2", "evaluation: 2"]
    assert backdoors.headings == [
        "benign users: 3", "attack training: 3", "attack validation: 2", "evaluation: 2",
    ]  # fmt: skip
    of_attacker = {image.tobytes() for image in bank.images[split.target_attacker()]}
    assert {image.tobytes() for image in target.rows[0][1]} == of_attacker
    for role, group in (("attack_training", 1), ("attack_validation", 2)):
        for row, rows in zip(backdoors.rows, split.backdoor(role), strict=True):
            own = {image.tobytes() for image in bank.images[rows]}
            assert {image.tobytes() for image in row[group]} <= own
    assert sum(len(images) for images in backdoors.rows[0]) <= 10


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Bengali/character46", "Bengali/character46"),
        ("Old_Church_Slavonic_(Cyrillic)/character31", "Old_Church_Slavonic…/character31"),
        ("x" * 33, "x" * 15 + "…" + "x" * 16),
        ("a/" + "b" * 40, "a/" + "b" * 13 + "…" + "b" * 16),
    ],
)
def test_of_a_long_name_the_end_is_kept(name, shown):
    split, bank, keyed = drawn(0)
    bank = ImageBank(bank.images, [c._replace(name=name) if c.name == "class 1" else c for c in bank.classes])
    settings = SETTINGS | {"backdoor": [name, "class 2"]}
    split = Split(draw_split(bank.classes, split_settings(settings), 1), bank)
    assert panels(split, bank, keyed, TRIGGER)[1].labels[0] == shown
