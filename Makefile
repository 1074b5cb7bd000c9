# Two commands are enough on a fresh machine: `make demo` and `make test`. Each sets up what it needs in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# pip's pages of an extra, local index may be missing; that is no news to the reader.
INSTALL := $(PIP) install --constraint constraints.txt --editable
INPUTS := pyproject.toml constraints.txt Makefile

.DEFAULT_GOAL := help
.PHONY: help demo test lint types layers unit docs bench clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Two users, one question, side by side (sets up, pulls a small model, runs offline)
	@$(BIN)/popi pull --quiet
	@$(BIN)/popi demo

test: lint types layers unit docs ## Everything that CI checks

lint: $(VENV)/.dev ## Style: ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## Types: mypy, strict
	$(BIN)/mypy

layers: $(VENV)/.dev ## Who may import whom: import-linter
	$(BIN)/lint-imports --no-logo

unit: $(VENV)/.dev ## Tests with branch coverage; code blocks of the docs and the examples are among them
	@$(BIN)/popi pull --quiet
	$(BIN)/python -m pytest --cov --cov-report=term

docs: $(VENV)/.dev ## The documentation, into site/
	$(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.dev ## Every figure of docs/performance.md, measured again
	@$(BIN)/popi pull --quiet
	$(BIN)/python -m benchmarks

clean: ## Remove what was built; the model cache stays
	rm -rf $(VENV) site dist build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(INPUTS) | $(BIN)/python
	@echo "Setting up .venv ..."
	@$(INSTALL) '.[local,cli]'
	@touch $@

$(VENV)/.dev: $(INPUTS) | $(BIN)/python
	@echo "Setting up .venv with the tools of development ..."
	@$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.demo
