# make demo: sets everything up and runs the main job. make test: sets everything up and passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_ARGS ?=

.PHONY: demo test slow lint types imports check clean

demo: $(STAMP)
	$(BIN)/unweave demo $(DEMO_ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow"

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/pyright

imports: $(STAMP)
	$(BIN)/lint-imports

check: lint types imports test

$(STAMP): pyproject.toml
	@$(PYTHON) recipes/setup.py --venv $(VENV)
	@touch $(STAMP)

clean:
	rm -rf $(VENV)
