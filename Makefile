# Needs Python >= 3.11 and make; everything else is installed into .venv.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
  if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
RUN_READY := $(VENV)/.ready-run
DEV_READY := $(VENV)/.ready-dev
HEAVY := torch==2.13.0 transformers==4.57.1
HEAVY_TESTS := tests/test_against_transformers.py tests/test_exported_transformers.py tests/test_grow_transformers.py tests/test_measure_torch.py tests/test_report_browser.py tests/test_serve_browser.py
# What takes a good part of a minute: refits, brute force, processes that are killed, every example of the pages.
SLOW_TESTS := tests/test_left_out.py tests/search/test_objectives.py tests/test_sweep.py tests/test_docs_examples.py tests/test_gallery.py \
  tests/scaling/test_fitting.py tests/test_serve.py tests/test_slices.py tests/test_sensitivity.py tests/test_effects.py tests/test_curves.py \
  tests/test_accuracy_baseline.py tests/test_docs.py tests/test_layout_regret.py tests/test_support_command.py tests/test_validate_command.py \
  tests/test_calibrate.py
PARALLEL := --numprocesses auto --dist loadfile

export OMP_NUM_THREADS ?= 1
export PYTHONUTF8 := 1

.PHONY: help calibrations docs run test test-full slow heavy lint check bench fuzz schemas wheel-test clean

help:
	@echo "make run        install and answer scenarios/quickstart.yaml"
	@echo "make test       lint, types, import contract, tests, doctests"
	@echo "make test-full  make test, the wheel, and the checks that take minutes or need heavy parts"
	@echo "make heavy      install the heavy parts (torch, transformers, chromium)"
	@echo "make bench      speed, and its ratios against the committed ones"
	@echo "make docs       the pages of docs/ as HTML, in docs/_build/html"
	@echo "make lint       ruff, mypy, import contract"
	@echo "make fuzz       10,000 mutated YAML files (EXAMPLES=n for another number)"
	@echo "make calibrations  fit the constants and their intervals again"
	@echo "make schemas    write schemas/*.json again"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_READY): pyproject.toml | $(BIN)/python
	$(PIP) install --editable .
	@touch $@

$(DEV_READY): pyproject.toml | $(BIN)/python
	$(PIP) install --editable '.[dev]'
	@touch $@ $(RUN_READY)

run: $(RUN_READY)
	@$(BIN)/trainsim run scenarios/quickstart.yaml

lint: $(DEV_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: $(DEV_READY)
	$(BIN)/pytest --benchmark-disable $(PARALLEL) $(patsubst %,--ignore=%,$(HEAVY_TESTS) $(SLOW_TESTS))

slow: $(DEV_READY)
	$(BIN)/pytest --benchmark-disable $(PARALLEL) $(SLOW_TESTS)

wheel-test: $(DEV_READY)
	$(BIN)/python tests/check_wheel.py

test: lint check

# Parts that a laptop need not have: torch's CPU build and transformers, to count parameters independently; a browser,
# to open the report page.
heavy: $(DEV_READY)
	$(PIP) install $(HEAVY)
	@command -v chromium >/dev/null || { command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } || \
	  echo "chromium is missing and could not be installed with apt-get" >&2

EXAMPLES ?= 10000

# What takes minutes, or needs such parts. Sweeps are killed at twenty moments in place of five; the mutated files of `make fuzz`
# run beside the slow tests.
test-full: export TRAINSIM_SWEEP_KILLS ?= 20
test-full: test wheel-test
	TRAINSIM_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest --benchmark-disable $(PARALLEL) tests/test_fuzz_yaml.py $(SLOW_TESTS)
	$(BIN)/python tests/heavy_parts.py $(PARALLEL)

fuzz: $(DEV_READY)
	TRAINSIM_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest tests/test_fuzz_yaml.py

bench: $(DEV_READY)
	$(BIN)/pytest benchmarks --benchmark-columns=min,median,rounds

# A quarter of an hour on a fast machine, half an hour on a slow one: the fit, every row by constants that never saw it, and the intervals made of those errors.
calibrations: $(RUN_READY)
	$(BIN)/trainsim calibrate --cases measurements/throughput.csv --micro measurements/micro.csv \
	  --start prior --out hardware_specs/calibrations --intervals hardware_specs/intervals/step_time.yaml

docs: $(DEV_READY)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

schemas: $(RUN_READY)
	$(BIN)/trainsim schema --write

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
