# Ekiden: `make run` starts it, `make test` proves it. Both set up what they need in .venv the first time.
#
# Needs Python 3.11 or newer with venv and pip. PYTHON=… picks another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Two workers suit the two cores that the time limits are made for. WORKERS=0 runs everything in one process.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

.PHONY: help run test check lint types pytest nightly bench clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^## //p' Makefile

## make run      start Ekiden in development mode (ARGS="--once" and others are handed on)
run: $(VENV)/.run
	@exec $(BIN)/ekiden dev $(ARGS)

## make test     style, types and the whole test suite
test: lint types pytest

## make lint     ruff
lint: $(VENV)/.dev
	@$(BIN)/ruff check --quiet src tests bench

## make types    mypy --strict
types: $(VENV)/.dev
	@$(BIN)/mypy --strict --no-error-summary

## make pytest   the tests alone; ARGS="tests/smtp -k data" narrows them
pytest: $(VENV)/.dev
	@$(PYTEST) -m "not nightly" $(ARGS)

## make nightly  the same, and what takes too long for every change
nightly: lint types
	@EKIDEN_NIGHTLY=1 $(PYTEST) --timeout=1800 $(ARGS)

## make bench    every measurement of docs/performance.md (25 minutes; ARGS=--quick: two); each file of bench/ answers one question
bench: $(VENV)/.dev
	@$(BIN)/python -m bench.all $(ARGS)

## make clean    remove what was made here (not dev-data)
clean:
	@rm -rf $(VENV) .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/out
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is younger than pyproject.toml: nothing to do, and make knows it without starting anything.
# pip older than 25.1 has no --group, so it is renewed first.
$(VENV)/.pip:
	@echo "setting up $(VENV) (once; about a minute)" >&2
	@$(PYTHON) -c 'import sys; sys.exit("Ekiden needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.run: $(VENV)/.pip pyproject.toml
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run pyproject.toml
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e . --group dev
	@touch $@
