"""The columns of the metrics, and which models each case uses: written down here and nowhere else.

The workflow and the reports also read this, so it imports nothing heavy.
"""

# The dtype of each column of metrics.csv, in order. A row is one accuracy, `value`; the other columns name it.
DTYPES = {
    "scenario": "str",
    "dataset": "str",
    "seed": "int64",
    "experiment": "str",
    "model": "str",
    "case": "str",
    "client": "Int64",
    "defence": "str",
    "delta": "float64",
    "step": "int64",
    "episode": "int64",
    "metric": "str",
    "value": "float64",
}
# What `aggregate` adds to a job's table: equal jobs of several scenarios, or with several names, run once.
NAMES = ("scenario", "defence")
JOB_COLUMNS = tuple(column for column in DTYPES if column not in NAMES)

# The values of the column `model` for the models that a client adapts, by the wildcard of their jobs.
MODELS = {"pretrained": "clean", "attacked": "attacked"}

# The cases that use the models of each scope: cases (b) and (c) share their training.
SCOPES = {"excluded": ("a",), "included": ("b", "c")}
