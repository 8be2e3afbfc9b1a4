# `make` sets up and runs the default experiment; `make test` sets up and runs the tests.
VENV ?= .venv
PYTHON ?= python3
# PyTorch's wheels for the CPU, used if there is no NVIDIA GPU; `make TORCH_INDEX=` asks for the default ones.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake --cores all --resources gpu=1
# Tests of one file stay together, and files come in the order of tests/conftest.py.
SIDE_BY_SIDE := -n auto --dist loadfile --no-loadscope-reorder

.PHONY: run say report setup test test-slow test-slurm test-slurm-slow mutants bench why lint schema lock clean help
.DEFAULT_GOAL := run

run: say setup ## set up, run the default experiment (config.yaml) and print where the report is
	$(SNAKEMAKE)
	@echo
	@$(MAKE) --no-print-directory report

report: setup ## write results/report.html: all figures and tables of the finished run, with captions, in one file
	@said=$$($(SNAKEMAKE) --report results/report.html 2>&1) || \
		{ echo "$$said" >&2; echo "Is the run finished? make finishes it" >&2; exit 1; }
	@echo "Report:   results/report.html (open it in a web browser)"

say:
ifeq ($(wildcard $(VENV)/.installed),)
	@echo "First this sets up Python in $(VENV): about 3 minutes, and a download of 0.5 GB (3.5 GB with CUDA)."
endif
	@echo "This runs the experiment of config.yaml. If you have not changed that, it draws its images itself and"
	@echo "takes about 10 minutes on two cores, with no download. Results that are up to date are kept. Figures go to"
	@echo "results/figures, tables to results/tables. Ctrl-C stops it, make resumes it. make help lists the other commands."
	@echo

setup: $(VENV)/.installed ## make .venv with the pinned dependencies and the package

# Python compiles what is imported when it is; to compile all of PyTorch here would take a minute.
$(VENV)/.installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedmeta needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	torch=$$($(BIN)/python tools/torch_index.py "$(TORCH_INDEX)") && \
	$(BIN)/python -m pip install --quiet --no-compile $$torch --constraint requirements.lock --editable '.[test,slurm]'
	touch $@

test: setup ## set up and run the tests, on all cores
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-slow: setup ## run all tests except those on Slurm, including slow ones
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m 'not slurm'

test-slurm: setup ## run the tests on a Slurm cluster, which they start on this machine, as root
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -rs -m 'slurm and not slow' tests/slurm

test-slurm-slow: setup ## the same, with every kind of failure at every stage
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -rs -m slurm tests/slurm

mutants: setup ## break the code on purpose, one place at a time, and check that a test notices
	$(BIN)/python tests/mutants.py

bench: setup ## time episodes against a naive implementation and against the bare convolutions
	$(BIN)/python benchmarks/episodes.py

why: setup ## show which stages would run, and why, without running them
	@$(SNAKEMAKE) --dry-run | $(BIN)/python workflow/why.py

lint: setup ## check style, types and the workflow's own lint
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/pyright
	$(BIN)/snakemake --lint

lock: setup ## update requirements.lock from what is installed
	$(BIN)/python -m pip freeze --exclude-editable | grep -vE '^(nvidia|cuda|triton)' | sed 's/+cpu$$//' > requirements.lock

schema: setup ## update the config's JSON schema from fedmeta/settings
	$(BIN)/python -m fedmeta.settings > workflow/schemas/config.schema.json

clean: ## remove the environment, the prepared data and the results
	rm -rf $(VENV) data/prepared results logs .snakemake

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
