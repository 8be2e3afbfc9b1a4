# ----------------------------------------------------------------------
# Settings, code versions, and what is checked before anything runs
# ----------------------------------------------------------------------
import difflib
import json
import os
import sys
from pathlib import Path

from jsonschema import Draft202012Validator
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

sys.path.insert(0, workflow.basedir)  # the library of this working copy, whichever is installed
from fedmeta.reporting.contents import FIGURES, NORMS, cases_of, contents_of, with_norms
from workflow.lib import guard
from workflow.lib.code import Code
from workflow.lib.keys import EVALUATION, LEARNING, SCALE
from workflow.lib.jobs import Jobs, typed, variant_of
from workflow.lib.raw_data import RawData
from workflow.lib.targets import MATCHING, RUN, SUPERVISED, Targets, model_of, scopes_of

for key, value in workflow.config_settings.config.items():
    if not isinstance(value, str):
        update_config(config, {key: typed(value)})

jobs, code = Jobs(config), Code()
settings, take = jobs.settings, jobs.take


def check_config():
    """Raise WorkflowError with one line about the first thing wrong in the config."""
    schema = Draft202012Validator(json.loads(Path("workflow/schemas/config.schema.json").read_text()))
    for error in sorted(schema.iter_errors(config), key=lambda error: list(map(str, error.path))):
        where = ".".join(map(str, error.absolute_path))
        if error.validator != "additionalProperties":
            raise WorkflowError(f"config: {where}: {error.message}")
        known = error.schema["properties"]
        unknown = min(set(error.instance) - set(known))
        close = difflib.get_close_matches(unknown, known, 1, 0)[0]
        raise WorkflowError(f"config: unknown key '{unknown}' in {where or 'the config'}; did you mean '{close}'?")
    for dataset in config["datasets"]:
        for key, problem in contradictions(settings(dataset)):
            raise WorkflowError(f"config: {key}: {problem}")


def contradictions(own):
    """Yield (key, problem) for values that are legal each but not together."""
    users, selected, attacker = (own["federation"][key] for key in ("users", "selected", "attacker"))
    evaluation = own["evaluation"]
    if attacker > users:
        yield "federation.attacker", f"there are only {users} users"
    if selected > users - 1:
        yield "federation.selected", f"{selected} users a round, but only {users - 1} are benign"
    for client in evaluation["clients"]:
        if client == attacker:
            yield "evaluation.clients", f"user {client} is the attacker"
        elif client > users:
            yield "evaluation.clients", f"there is no user {client}"
    if max(evaluation["rounds"]) > own["meta_train_after"]["rounds"]:
        yield "evaluation.rounds", f"meta_train_after.rounds is only {own['meta_train_after']['rounds']}"
    if evaluation["shot"] < 2:
        yield "evaluation.shot", "the matching network's leave-one-out training needs 2 or more"
    if evaluation["episode_seed"] == evaluation["other_episode_seed"]:
        yield "evaluation.other_episode_seed", "it must differ from evaluation.episode_seed"
    if "ablation" in own["figures"] and 0 not in own["matching"]["iterations"]:
        yield "matching.iterations", "figure ablation shows the attention before fine-tuning: add 0"
    for figure in {"ablation", "delta"}.intersection(own["figures"]):
        for case in set(own[f"figure_{figure}"]["cases"]).difference(evaluation["cases"]):
            yield f"figure_{figure}.cases", f"case {case} is not among evaluation.cases"


check_config()
targets, raw = Targets(jobs), RawData(config["raw_data"])
guard.before_all(workflow, jobs, raw, code)


onstart:
    guard.before_jobs(["fedmeta/reporting/paper_numbers.csv"])


onerror:
    guard.after_failure()


# Stages end when this process does.
os.environ.update(FEDMETA_SNAKEMAKE=str(os.getpid()))


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    seed=r"\d+",
    client=r"\d+",
    scope="excluded|included",
    figure="|".join(FIGURES),
    model="pretrained|attacked",
    episodes=r"\d+",
