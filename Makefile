# `make help` lists the targets. PYTHON=/path/to/python chooses the interpreter of .venv.

.DEFAULT_GOAL := help
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: help demo test test-slow lint format .venv clean

help: ## list the targets
	@awk -F ':.*## ' '/^[.a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## train, test and look at a small stacked hourglass on synthetic people
	@$(BIN)/python tools/demo.py

test: lint ## lint, then run the tests
	$(BIN)/python -m pytest

test-slow: $(INSTALLED) ## run every test, the slow ones too
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(INSTALLED) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv: $(INSTALLED) ## make .venv and install densezoo in it (about 6 GB)

$(INSTALLED): setup.py constraints.txt tools/make_venv.sh
	@PYTHON="$(PYTHON)" bash tools/make_venv.sh

clean: ## remove .venv, caches and build products; data/ and runs/ stay
	rm -rf .venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
