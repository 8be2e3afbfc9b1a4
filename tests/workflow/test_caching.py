"""A stage runs again when its inputs, its config keys or its code have changed, and only then.

Snakemake's own dry runs are held against docs/caching.md after an edit of every config key and every module.
"""

import copy
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from finished import KEYS
from helpers.project import PARTS, ROOT, copy_project, snakemake
from invalidation import FIGURES, OTHER_READERS, RULES, TABLES, documented

TRAINING = {"pretrain", "attack", "meta_train_after"}
MODULE_ROWS = [(path, frozenset(rules)) for path, rules in documented("modules").items()]
# Keys that some defences do not read, or have an own value of.
OF_SOME = ("defences.", "figure_table.", "evaluation.episode_seed", "evaluation.target_output")
# Rules whose jobs use different methods, models that are made at different stages, or different tables.
VARIED = ("repair", "adapt", "detail", "figure", "page")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_reruns_what_the_document_says(finished, key):
    expected = documented("keys")["attack.boost" if key == "overrides" else key]
    again = finished.after_key(key)
    assert set(again) == expected
    if not key.startswith(OF_SOME):
        assert_whole(finished, again)


@pytest.mark.parametrize("path", {rules: path for path, rules in MODULE_ROWS}.values())
def test_a_module_reruns_what_the_document_says(finished, path):
    """One of each row: test_caching_document.py tells that each module is in the right one."""
    again = finished.after_module(path)
    assert set(again) == documented("modules")[path]
    assert_whole(finished, again)


def assert_whole(finished, again):
    """Check that all jobs of a rule run again, but for rules whose jobs depend on different things."""
    whole = [rule for rule in again if rule not in VARIED]
    assert {rule: again[rule] for rule in whole} == {rule: finished.jobs[rule] for rule in whole}


def test_a_job_runs_again_where_its_own_files_are_made_again(finished):
    """Counts are of two scopes, one client."""
    assert finished.jobs["figure"] == 9
    assert finished.after_key("evaluation.rounds")["figure"] == 1
    assert finished.after_key("defences.fine_tuning.iterations")["figure"] == 4
    one_defence = {"adapt": 8, "figure": 1, **dict.fromkeys(TABLES, 1), "page": 4}  # the fifth is of no accuracies
    assert finished.after_key("defences.other-episodes.evaluation.episode_seed") == one_defence
    assert finished.jobs["adapt"] - finished.after_key("evaluation.episode_seed")["adapt"] == 8  # those have their own
    matching = finished.after_key("defences.matching.iterations")["adapt"]
    assert matching + finished.after_key("defences.fine_tuning.iterations")["adapt"] == finished.jobs["adapt"] == 40
    assert finished.after_key("defences.matching.scale")["adapt"] == matching - 2  # one has no scales
    assert finished.jobs["detail"] == 4  # two defences of two models, in case (a) alone
    assert (
        finished.after_key("attack.boost")["detail"] == finished.after_key("defences.matching.warm_up")["detail"] == 2
    )
    assert finished.jobs["repair"] == 4
    assert finished.after_key("attack.boost")["repair"] == 2  # the clean model is as it was


def test_a_method_reruns_the_jobs_that_use_it_and_no_others(finished):
    assert finished.after_module("fedmeta/defences/fine_tuning.py")["adapt"] == 12
    assert finished.after_module("fedmeta/defences/matching.py")["adapt"] == 28
    assert finished.after_module("fedmeta/defences/local_meta_training.py")["adapt"] == 4
    assert finished.after_module("fedmeta/reporting/figures/over_rounds.py") == {"figure": 1}
    assert not finished.after_module("fedmeta/attacks/given.py")


@pytest.mark.parametrize("path", sorted(OTHER_READERS))
def test_the_reader_of_another_data_set_reruns_nothing(finished, path):
    assert not finished.after_module(path)


def test_a_script_reruns_its_rule_and_what_follows(finished):
    assert finished.after_module("workflow/scripts/figure.py") == {"figure": 9, "figure_across": 1}
    assert set(finished.after_module("workflow/scripts/evaluate.py")) == {"evaluate", *TABLES, *FIGURES}
    again = finished.after_module("workflow/scripts/training_stage.py")
    assert set(again) == set(RULES) - {"resize", "augment", "split", "stamp", "contact_sheet"}


def test_the_papers_numbers_are_an_input_of_their_table_alone(finished):
    path = "fedmeta/paper/numbers.csv"
    with finished.edited(path, (finished.folder / path).read_text().replace(",78,", ",79,")):
        assert finished.dry_run() == {"paper_against_ours": 1, "page": 1}


def test_touching_everything_reruns_nothing(finished):
    for path in (path for path in finished.folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts):
        os.utime(path)
    assert not finished.dry_run()


def test_a_fresh_copy_of_the_sources_reruns_nothing(finished):
    for part in PARTS:
        source = finished.folder / part
        (shutil.rmtree if source.is_dir() else os.unlink)(source)
    copy_project(finished.folder)
    finished.write_config(finished.config)
    assert not finished.dry_run()


def test_comments_and_the_order_of_keys_rerun_nothing(finished):
    def backwards(value, name=""):  # the order of scenarios is that in which a figure shows them
        turned = isinstance(value, dict) and name != "scenarios"
        return {key: backwards(value[key], key) for key in reversed(value)} if turned else value

    rules = (finished.folder / "workflow/rules/learning.smk").read_text()
    module = (finished.folder / "fedmeta/learning/reptile.py").read_text()
    with (
        finished.edited("config.yaml", "# changed\n" + yaml.safe_dump(backwards(finished.config), sort_keys=False)),
        finished.edited("Snakefile", "# changed\n" + (finished.folder / "Snakefile").read_text()),
        finished.edited("workflow/rules/learning.smk", "# changed\n" + rules),
        finished.edited("fedmeta/learning/reptile.py", "# changed\n" + module.replace('"""', '"""Changed. ', 1)),
    ):
        assert not finished.dry_run()


def test_other_ways_to_write_the_same_settings_rerun_nothing(finished):
    config = copy.deepcopy(finished.config)
    config["attack"]["boost"] = 3.0
    config["defences"]["matching"]["scale"] = 10
    config["pretrain"]["outer_learning_rate"] = [1, 0.1]
    config["evaluation"]["rounds"] = config["evaluation"]["rounds"][::-1]
    for defence in ("fine_tuning", "matching"):
        config["defences"][defence]["iterations"] = config["defences"][defence]["iterations"][::-1]
    del config["defences"]["matching"]["gates"]  # its default
    config["evaluation"]["cases"] = ["c", "a", "b"]
    config["overrides"] = {"glyphs": {"evaluation": {"rounds": [3, 0, 1]}}}
    assert config != finished.config
    with finished.edited("config.yaml", yaml.safe_dump(config, sort_keys=False)):
        assert not finished.dry_run()


def test_another_script_of_a_rule_reruns_it_and_what_follows(finished):
    script = finished.folder / "workflow/scripts/other_summary.py"
    script.write_text((finished.folder / "workflow/scripts/summary.py").read_text() + "\nother = True\n")
    rules = (finished.folder / "workflow/rules/reporting.smk").read_text()
    with finished.edited("workflow/rules/reporting.smk", rules.replace("/summary.py", "/other_summary.py")):
        assert finished.dry_run() == {"summary": 1, "page": 1}
    script.unlink()


def test_new_content_reruns_what_is_made_from_it_however_large_the_file(finished):
    for path, rules in {
        "data/prepared/default/glyphs/images.npy": set(RULES) - {"resize", "augment", "split"},
        "results/default/glyphs/seed-1/excluded/pretrained.safetensors": set(RULES)
        - {"resize", "augment", "split", "stamp", "contact_sheet", "pretrain"},
        "results/metrics.csv": {"summary", "comparison", "run_times", "paper_against_ours", "page"},
    }.items():
        file = finished.folder / path
        before = file.read_bytes()
        file.write_bytes(before[:-1] + b"x")  # as long as before
        assert set(finished.dry_run()) == rules
        file.write_bytes(before)
        assert not finished.dry_run()


def test_an_edit_can_be_accepted_without_running(finished):
    path = "fedmeta/learning/reptile.py"
    text = (finished.folder / path).read_text()
    with finished.edited(path, text + "\nedited = True\n"):
        assert set(finished.dry_run()) >= TRAINING
        assert snakemake(finished.folder, "--touch").returncode == 0
        assert not finished.dry_run()
    assert snakemake(finished.folder, "--touch").returncode == 0


def test_the_reason_names_the_module_and_the_value(finished):
    source = (finished.folder / "fedmeta/data/trigger.py").read_text()
    config = (finished.folder / "config.yaml").read_text()
    table = finished.folder / "results/default/glyphs/seed-1/excluded/evaluate/client-2.csv"
    table.rename(table.with_name("away"))
    with (
        finished.edited("fedmeta/data/trigger.py", source + "\nedited = True\n"),
        finished.edited("config.yaml", config.replace("rounds: 3", "rounds: 4")),
    ):
        said = why(finished.printed())
    table.with_name("away").rename(table)
    pretraining = "default: pre-training on glyphs, seed 1, backdoor classes"
    assert said["pretrain.rounds: 3 -> 4"] == [f"{pretraining} {scope}" for scope in ("excluded", "included")]
    stamping = "default: stamping the backdoor key on images of glyphs"
    assert said["fedmeta/data/trigger.py has changed"][0].startswith(stamping)
    assert said["not made yet"] == ["default: evaluating rounds on glyphs, seed 1, backdoor classes excluded, client 2"]
    assert "default: drawing figure 3 of glyphs" in list(said.values())[-1]
    assert sum(map(len, said.values())) == sum(finished.jobs.values()) - len({"resize", "augment", "split"})


def test_why_names_the_reader_of_a_data_set(finished):
    path = "fedmeta/data/readers/glyphs.py"
    with finished.edited(path, (finished.folder / path).read_text() + "\nedited = True\n"):
        said = why(finished.printed())
    assert said[f"{path} has changed"] == ["default: reading and resizing glyphs"]
    assert len(said) == 2, "the rest is made from it"


def why(printed: str) -> dict[str, list[str]]:
    """Return what `make why` makes of a dry run: jobs by reason."""
    said = subprocess.run(
        [sys.executable, ROOT / "workflow/why.py"], input=printed, capture_output=True, text=True, check=True
    )
    jobs, reason = {}, ""
    for line in said.stdout.splitlines():
        if line.startswith("    "):
            jobs[reason].append(line.strip())
        else:
            reason = line.removesuffix(":")
            jobs[reason] = []
    return jobs


def test_why_says_when_nothing_would_run_and_fails_where_the_dry_run_did(finished):
    assert list(why(finished.printed())) == ["nothing would run: all is up to date"]
    with pytest.raises(subprocess.CalledProcessError):
        why("WorkflowError: config: no")
