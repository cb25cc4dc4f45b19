# Two commands do all the set-up: `make quickstart` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-all lint types contracts docs check schema bench clean

quickstart: $(VENV)/.ready ## from images to a registered model
	$(BIN)/python -m mlops_spec +experiment=quickstart

test: $(VENV)/.ready ## the default test suite
	$(BIN)/python -m pytest -n auto

test-all: $(VENV)/.ready ## every tier, slow ones too
	$(BIN)/python -m pytest -n auto --dist load -m "slow or not slow"

lint: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.ready
	$(BIN)/mypy

contracts: $(VENV)/.ready
	$(BIN)/lint-imports

docs: $(VENV)/.ready ## generated parts of the documentation are current
	$(BIN)/cog --check README.md docs/*.md
	$(BIN)/python -m mlops_spec schema --check

check: lint types contracts docs

bench: $(VENV)/.ready ## each prints one JSON line
	for file in bench/[!_]*.py; do $(BIN)/python $$file || exit 1; done

# Pinned by constraints.txt; repeated only when the requirements change.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .mlops runs build dist *.egg-info
