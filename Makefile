# Two commands on a fresh machine: `make demo` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
TRAIN  := .venv-train
DEMO   ?= demo-out
# Processes that share the tests; a file's tests stay in one.
TEST_JOBS ?= 2

export TOKENIZERS_PARALLELISM := false

.PHONY: demo test test-long lint types bench fuzz audit train-env clean help

help:
	@echo "make demo       the whole road on synthetic data, offline, into $(DEMO)/"
	@echo "make test       lint, types and tests"
	@echo "make test-long  the tests at acceptance size"
	@echo "make lint       ruff and mypy only"
	@echo "make bench      the benchmarks"
	@echo "make fuzz       ten minutes of broken input for each binary parser"
	@echo "make audit      known faults of the installed packages; needs the internet"

# The stamp depends on what decides the environment, so an edit to any of these files re-installs.
$(VENV)/.ready: pyproject.toml constraints.txt Makefile
	@echo "setting up $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet -c constraints.txt torch==2.13.0
	@$(PIP) install --quiet -c constraints.txt -e ".[prep,flows,train,dev]"
	@$(PIP) install --quiet -c constraints.txt --no-deps projectaria-tools
	@$(BIN)/python -c "import decord, prefect, torch, transformers, zarr; from projectaria_tools.core import data_provider"
	@touch $@

demo: $(VENV)/.ready
	@$(BIN)/primus-prep demo --out $(DEMO)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint train-env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile -m "not long and not network"

test-long: lint
	$(BIN)/python -m pytest -m "not network"

# The trainer's users have neither prefect nor a video decoder: its tests run once more in an environment like theirs.
$(TRAIN)/.ready: pyproject.toml constraints.txt Makefile
	@echo "setting up $(TRAIN) (the trainer alone, once)"
	@test -x $(TRAIN)/bin/python || $(PYTHON) -m venv $(TRAIN)
	@$(TRAIN)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt torch==2.13.0 -e ".[train,s3]" pytest pytest-xdist "moto[server]"
	@touch $@

train-env: $(TRAIN)/.ready
	$(TRAIN)/bin/python -c "import importlib.util as u; assert not [m for m in ('prefect', 'decord', 'transformers') if u.find_spec(m)]"
	OMP_NUM_THREADS=1 $(TRAIN)/bin/python -m pytest -q -n $(TEST_JOBS) --dist loadfile -m "not long and not network" tests/schemas tests/primus_train

bench: $(VENV)/.ready
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

fuzz: $(VENV)/.ready
	@for t in vrs gpmf mp4; do $(BIN)/python -m tests.fuzz $$t --seconds 600 --corpus .fuzz/$$t || exit 1; done

audit: $(VENV)/.ready
	$(BIN)/python .ci/audit

clean:
	rm -rf $(VENV) $(TRAIN) $(DEMO) .mypy_cache .ruff_cache .pytest_cache
