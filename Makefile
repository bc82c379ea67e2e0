# Every target installs what it needs, from a fresh clone. Python 3.11 or newer with venv, git and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
SOURCES := encamp.py daemon plugins gossip

.PHONY: help demo quick test long check bench format clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

$(VENV)/.base: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "encamp needs Python 3.11 or newer; this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing encamp into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@echo "installing the tools for tests and checks into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/.base  ## install, run a real job on a development agent, show it, clean up
	@$(BIN)/python contrib/demo/demo.py

quick: $(VENV)/.dev  ## the fast tests, under 30 seconds: for every edit
	@$(BIN)/python -m pytest -q -n $(JOBS) -m "not slow and not long and not docker and not runc and not root" tests

test: $(VENV)/.dev  ## everything but the long forms, under 10 minutes
	@contrib/dev/prepare-machine
	@$(BIN)/python -m pytest -q -n $(JOBS) -m "not long" -rs tests

long: $(VENV)/.dev  ## the full forms, an hour or more
	@contrib/dev/prepare-machine
	@$(BIN)/python -m pytest -q -n $(JOBS) -rs --timeout 3600 tests

check: $(VENV)/.dev  ## format, lint, types, layers, dead code; changes nothing
	@$(BIN)/ruff format --check $(SOURCES) tests contrib
	@$(BIN)/ruff check $(SOURCES) tests contrib
	@$(BIN)/mypy
	@$(BIN)/lint-imports setup.cfg
	@$(BIN)/vulture --min-confidence 90 $(SOURCES)

bench: $(VENV)/.dev  ## measure: NAME=c1m for one workload, SCALE=0.1 for a quick look, OUT=FILE for JSON
	@$(BIN)/python -m tests.bench $(if $(NAME),--name $(NAME)) $(if $(SCALE),--scale $(SCALE)) $(if $(OUT),--out $(OUT))

format: $(VENV)/.dev  ## format the sources
	@$(BIN)/ruff format $(SOURCES) tests contrib
	@$(BIN)/ruff check --fix $(SOURCES) tests contrib

clean:  ## remove what make has made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
