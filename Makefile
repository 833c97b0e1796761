# Python >= 3.11 and make are all this needs: every target makes its own environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/stamp

.PHONY: demo test lint format bench soak clean

demo: $(STAMP)
	@$(BIN)/python -m tests.support.demo

# Those that start clusters and hosts of their own come after the others, one at a time: on two cores
# they would wait for each other's processes for longer than their deadlines.
# What fails is tried once more alone: real servers and processes have deadlines, and a busy machine
# passes them. A test that fails alone, too, is red; so is whatever pytest ends with but failed tests
# (1): what could not be collected has no last failure, and all would run once more.
ALONE := { test $$? = 1 && $(BIN)/pytest -n 0 --last-failed --last-failed-no-failures none; }
CLUSTERS := tests/e2e/grid tests/e2e/ipyparallel tests/e2e/test_nodes.py
test: $(STAMP)
	$(BIN)/pytest $(CLUSTERS:%=--ignore=%) || $(ALONE)
	$(BIN)/pytest -n 0 $(CLUSTERS) || $(ALONE)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Side by side with peers, which are installed for it; minutes, and not part of the tests.
bench: $(STAMP)
	$(BIN)/pip install --quiet --group bench
	for file in benchmarks/[a-z]*.py; do \
	  case $$file in */harness.py) ;; *) $(BIN)/python $$file || exit 1 ;; esac; done

# 100,000 requests against one daemon, whose memory, threads and descriptors must stay; minutes.
soak: $(STAMP)
	$(BIN)/python -m tests.support.soak

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "making the environment in $(VENV): once, a minute or two"
	@$(BIN)/pip install --quiet --upgrade pip
	@$(BIN)/pip install --quiet --editable '.[fast,grid,metrics]' --group dev
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
