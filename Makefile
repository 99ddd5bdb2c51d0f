# make demo   set everything up, run the main job on a simulated cohort, print where the report is
# make test   set everything up, run the tests (under ten minutes on two cores)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
READY  := $(VENV)/.ready

.PHONY: demo test test-all lint types bench fresh clean help
.DEFAULT_GOAL := help

help:
	@grep -E '^# make' Makefile | cut -c3-
	@echo 'make test-all   the slow tests too; make lint, make types, make bench, make fresh, make clean'

# One environment for everything, made once and again when its inputs change.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "omics needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..." >&2; exit 4; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	@touch $@

demo: $(READY)
	$(BIN)/omics demo demo

test: $(READY)
	$(BIN)/python -m pytest -m 'not slow' -n $(JOBS)

test-all: $(READY)
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.mofa_speed
	$(BIN)/python -m benchmarks.mofa_memory
	$(BIN)/python -m benchmarks.mofa_scale
	$(BIN)/python -m benchmarks.nested
	$(BIN)/python -m benchmarks.leakage
	$(BIN)/python -m benchmarks.structure
	$(BIN)/python -m benchmarks.resampling
	$(BIN)/python -m benchmarks.interpretation
	$(BIN)/python -m benchmarks.report

# Forget compiled code: numba does not see that a function in another file has changed.
fresh:
	find omics -name '*.nb[ic]' -delete

clean:
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
