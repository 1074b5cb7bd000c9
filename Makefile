# Two commands are enough on a fresh machine: `make demo` and `make test`. Each sets up what it needs in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# pip's pages of an extra, local index may be missing; that is no news to the reader.
INSTALL := $(PIP) install --constraint constraints.txt --editable
INPUTS := pyproject.toml constraints.txt Makefile

.DEFAULT_GOAL := help
.PHONY: help demo test lint types layers unit docs bench bench-eval clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

# A thread for each of the two workers: two threads each would wait for one another on two cores.
unit: $(VENV)/.dev ## Tests with branch coverage; code blocks of the docs and the examples are among them
	@$(BIN)/popi pull --quiet
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

docs: $(VENV)/.dev ## The documentation, into site/
	$(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.dev ## Every figure of docs/performance.md, measured again
	@$(BIN)/popi pull --quiet
	$(BIN)/python -m benchmarks

bench-eval: $(VENV)/.eval ## What untrained personalisation gains on ten generated users, in minutes: .popi/bench-eval/report.html
	@$(BIN)/popi pull --quiet
	$(BIN)/popi eval styleworld --limit 10 --method raw --method heuristic --method prompted --raw-budget 512 \
		--output .popi/bench-eval --resume

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

$(VENV)/.eval: $(INPUTS) | $(BIN)/python
	@echo "Setting up .venv for measuring ..."
	@$(INSTALL) '.[local,eval,cli]'
	@touch $@ $(VENV)/.demo

$(VENV)/.dev: $(INPUTS) | $(BIN)/python
	@echo "Setting up .venv with the tools of development ..."
	@$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.demo $(VENV)/.eval
