# `make` sets up and runs the default experiment; `make test` sets up and runs the tests.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake --cores all --resources gpu=1
# Tests of one file stay together, and files come in the order of tests/conftest.py.
SIDE_BY_SIDE := -n auto --dist loadfile --no-loadscope-reorder

.PHONY: run report setup test test-slow test-slurm test-slurm-slow mutants bench why lint schema lock clean help
.DEFAULT_GOAL := run

run: setup ## set up, run the default experiment (config.yaml) and say where the report is
	$(SNAKEMAKE)
	@echo
	@$(MAKE) --no-print-directory report
	@echo "Figures:  results/figures/    tables: results/tables/    all metrics: results/metrics.csv"

report: setup ## write results/report.html, all figures and tables of the finished run with captions, in one file
	@$(SNAKEMAKE) --quiet all --report results/report.html
	@echo "Report:   results/report.html (open it in a web browser)"

setup: $(VENV)/.installed ## make .venv with the pinned dependencies and the package

$(VENV)/.installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedmeta needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[test,slurm]'
	touch $@

test: setup ## set up and run the tests, on all cores
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-slow: setup ## run the tests that take long, too
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m 'not slurm'

test-slurm: setup ## run the tests on a Slurm cluster that they start on this machine, as root
	$(BIN)/python -m pytest -rs -m 'slurm and not slow' tests/slurm

test-slurm-slow: setup ## the same with every mishap at every stage
	$(BIN)/python -m pytest -rs -m slurm tests/slurm

mutants: setup ## break the code on purpose, one place at a time, and see that a test notices
	$(BIN)/python tests/mutants.py

bench: setup ## time episodes against what people write and against the bare convolutions
	$(BIN)/python benchmarks/episodes.py

why: setup ## say which stages would run, and for what reason, without running them
	@$(SNAKEMAKE) --dry-run | $(BIN)/python workflow/why.py

lint: setup ## check style, types and the workflow's own lint
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/pyright
	$(BIN)/snakemake --lint

lock: setup ## write requirements.lock anew from what is installed
	$(BIN)/python -m pip freeze --exclude-editable | grep -vE '^(nvidia|cuda|triton)' > requirements.lock

schema: setup ## write the config's JSON schema anew from fedmeta/settings
	$(BIN)/python -m fedmeta.settings > workflow/schemas/config.schema.json

clean: ## remove the environment, the prepared data and the results
	rm -rf $(VENV) data/prepared results logs .snakemake

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
