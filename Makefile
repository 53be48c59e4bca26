# make demo: sets everything up and runs the main job. make test: sets everything up and passes the tests.
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN = $(VENV)/Scripts
else
PYTHON ?= python3
BIN = $(VENV)/bin
endif
VENV ?= .venv
STAMP := $(VENV)/.installed
DEMO_ARGS ?=

.PHONY: demo test slow lint types imports check setup clean

demo: $(STAMP)
	@$(BIN)/unweave demo $(DEMO_ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# pyright and its Node.js come from the environment; without this it would ask the network for a newer version.
types: export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1
types: $(STAMP)
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(STAMP)
	$(BIN)/lint-imports

check: lint types imports test

setup: $(STAMP)

$(STAMP): pyproject.toml recipes/setup.py
	@$(PYTHON) recipes/setup.py --venv $(VENV)

clean:
	rm -rf $(VENV)
