# What a person types. Works with GNU make 3.81 (macOS) and newer, and any POSIX shell.
#
#   make demo           a fleet of three real Envoys on this machine, until Ctrl-C; CHECK=1 plays and checks it instead
#   make demo-stop      stop what a demo left behind
#   make test           every test (T="tests/core -k parse" for some of them)
#   make lint           format, lint, strict types, who may import whom
#   make check          that, and the fast tests
#   make bench          figures for the budgets; QUICK=1 for the short run
#   make soak           random worlds with faults and kills at any point: MINUTES=10, WORLDS=500, SEED=0; EACH=1 strikes at each;
#   make soak           … then a minute of many writers, and FUZZ_S=300 seconds of random requests
#   make schemas        write schemas/ anew from reconciler/core/kinds
#   make wheel          build dist/*.whl
#
# PYTHON=/path/to/python3.12 chooses the interpreter, VENV=/path the place of the virtual environment.

SHELL = /bin/sh
VENV = .venv
BIN = $(VENV)/bin
DIST = dist
T =
PYTEST_ARGS =

# What is set for other Pythons and other repositories must not reach ours.
unexport PYTHONHOME PYTHONPATH PYTHONWARNINGS GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE VIRTUAL_ENV

.PHONY: help demo demo-stop test lint check bench soak schemas wheel setup run-setup

help:
	@sed -n 's/^#   make /make /p' Makefile

demo: run-setup
	@exec $(BIN)/convoy demo $(if $(filter-out 0 no,$(CHECK)),--check)

demo-stop: run-setup
	@exec $(BIN)/convoy demo --stop

test: setup
	$(BIN)/python -m pytest $(PYTEST_ARGS) $(T)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not slow" $(PYTEST_ARGS) $(T)

bench: setup
	$(BIN)/python -m tests.bench $(if $(filter-out 0 no,$(QUICK)),--quick)

soak: setup
	$(BIN)/python -m tests.rig.soak $(if $(EACH),--each,$(if $(WORLDS),--worlds $(WORLDS),--minutes $(or $(MINUTES),10))) \
		--seed $(or $(SEED),0)
	SOAK_S=60 $(BIN)/python -m pytest -q tests/test_writers.py
	$(BIN)/python -m pytest -q tests/api/envoy_fleet/test_schemathesis.py --fuzz $(or $(FUZZ_S),300) --fuzz-seed $(or $(SEED),0)

schemas: setup
	$(BIN)/python -m reconciler.schemas

wheel: setup
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir $(DIST) .

setup:
	@PYTHON="$(PYTHON)" .ci/venv $(VENV) test

run-setup:
	@PYTHON="$(PYTHON)" .ci/venv $(VENV) run
