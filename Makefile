# Everything below sets up what is missing first. `make help` lists the commands.
PYTHON ?= python3
PORT ?= 8000
DATA ?= studio-data
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 0

.DEFAULT_GOAL := help
.PHONY: help demo up test check bench lock migration openapi demo-checkpoint screenshots format

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: $(VENV)/.worker ## run the whole main job on sample phantoms, print the address, leave it running
	$(BIN)/python -m app demo --data-dir demo-data --port $(PORT)

up: $(VENV)/.worker ## start the studio on its embedded default (PORT=8000 DATA=studio-data)
	$(BIN)/python -m app up --data-dir $(DATA) --port $(PORT)

test: $(VENV)/.dev ## run every test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.dev ## lint, types, import rules, templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file pyproject.toml client/phantom
	$(BIN)/lint-imports
	$(BIN)/djlint templates --lint --quiet

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

bench: $(VENV)/.dev ## run the benchmarks; figures go to benchmarks/results/
	$(BIN)/python -m benchmarks

screenshots: $(VENV)/.dev ## draw the README's screenshot from a running demo (needs Chromium)
	$(BIN)/python -m tests.e2e.screenshots

demo-checkpoint: $(VENV)/.worker ## train the bundled checkpoint anew, from the phantoms, by our own recipe
	$(BIN)/python -m workers.demo_checkpoint

migration: $(VENV)/.dev ## write a migration for changes of models/ (NAME="add a column")
	$(BIN)/alembic revision --autogenerate -m "$(NAME)"

openapi: $(VENV)/.dev ## write docs/api/openapi.json
	$(BIN)/python -m app openapi > docs/api/openapi.json

lock: $(VENV)/.dev ## pin requirements/*.txt anew from requirements/*.in
	sh requirements/lock.sh

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Phantom Studio needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.worker: requirements/worker.txt client/pyproject.toml | $(VENV)/bin/python
	@echo "Installing packages (about 1.5 GB, a few minutes the first time) ..."
	$(PIP) -r requirements/worker.txt
	$(PIP) -c requirements/dev.txt -e client
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.worker
	$(PIP) -r requirements/dev.txt
	@touch $@
