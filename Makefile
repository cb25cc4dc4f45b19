# Two commands do all the set-up: `make quickstart` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-all lint types contracts docs check schema bench bench-peers clean

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

bench-peers: ## other servers, for `bench/serve.py --all`, in environments of their own: their pins are not ours
	for each in "peers litserve==0.2.19 bentoml==1.4.40 gunicorn==27.0.1 flask onnxruntime openvino" \
		"peers-mlflow mlflow==3.15.2" "peers-azureml azureml-inference-server-http==1.5.1"; do \
		set -- $$each; name=.venv-$$1; shift; \
		$(PYTHON) -m venv $$name && $$name/bin/python -m pip install --quiet "$$@" pillow torch torchvision || exit 1; \
	done

# Pinned by constraints.txt; repeated only when the requirements change.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .venv-peers* .mlops runs build dist *.egg-info
