# ----------------------------------------------------------------------
# Settings, code versions, and what is checked before anything runs
# ----------------------------------------------------------------------
import os
import sys

from snakemake.utils import update_config

sys.path.insert(0, workflow.basedir)  # the library of this working copy, whichever is installed
from fedmeta.reporting.contents import FIGURES, NORMS, ORDERS, cases_of, contents_of, with_norms, with_order
from fedmeta.settings import check
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


guard.one_line(check, config, workflow.configfiles)
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
