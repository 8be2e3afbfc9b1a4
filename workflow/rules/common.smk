# ----------------------------------------------------------------------
# Settings, code versions, and what is checked before anything runs
# ----------------------------------------------------------------------
import sys

if not os.path.exists(workflow.snakefile):
    raise WorkflowError("fedmeta needs its library beside its rules: clone the repository and use its Snakefile")
sys.path.insert(0, str(Path(workflow.snakefile).parents[2]))  # the library of this working copy, whatever is installed
from workflow.lib import guard
from workflow.lib.code import Code, located
from workflow.lib.homes import Homes, read_homes
from workflow.lib.jobs import Jobs, Place
from workflow.lib.raw_data import RawData
from workflow.lib.report_marks import Marks, title_of
from workflow.lib.stages import KEYED, benchmark_of, log_of, outputs_of, path_of
from workflow.lib.takes import Takes
from workflow.lib.targets import Targets

config = guard.complete_config(workflow, config)
jobs, code, raw = Jobs(config), Code(), RawData(config["raw_data"])
homes = Homes(jobs, read_homes())
takes, targets = Takes(jobs, homes, code), Targets(jobs, homes)
marks = Marks(jobs, targets)
guard.before_all(workflow, jobs, homes, raw, code, marks)


onstart:
    guard.let_wait(workflow)
    guard.before_jobs(homes, [located("fedmeta/paper/numbers.csv"), located("fedmeta/reporting/page.html")])


onsuccess:
    guard.after_success(workflow, jobs)


onerror:
    guard.after_failure()


wildcard_constraints:
    scenario=guard.one_of(homes.scenarios()),
    dataset=guard.one_of(jobs.readers),
    seed=r"\d+",
    client=r"\d+",
    scope="excluded|included",
    defence=guard.one_of(homes.defences()),
    figure=guard.one_of(targets.known_figures()),
    model="pretrained|attacked",
    table=guard.one_of(marks.tables()),
