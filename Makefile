# `make demo` and `make test` do everything from a fresh clone: the first call creates .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-ray test-faults bench gpu reference reference-check lint evidence format clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-15s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vitbench needs Python 3.11 or newer, $(PYTHON) is older; try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## train, compare and predict on the built-in pictures (minutes)
	$(BIN)/vitbench demo

test: $(INSTALLED)  ## run the quick tests on the CPU, two at a time (under four minutes on two cores)
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)  ## run the slow tests too (half an hour on two cores)
	$(BIN)/python -m pytest -m 'not faults'

test-ray: $(INSTALLED)  ## run the tests of the grid, with Ray
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ray]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m ray -n 0

test-faults: $(INSTALLED)  ## kill it, fill its disk, feed it garbage (most of an hour)
	rm -f results/evidence/reliability.jsonl
	VITBENCH_EVIDENCE=$(CURDIR)/results/evidence/reliability.jsonl \
	  $(BIN)/python -m pytest -m faults -n 0 --timeout 3000; status=$$?; \
	  $(BIN)/python tests/evidence/reliability.py && exit $$status

lint: $(INSTALLED)  ## ruff, mypy --strict, the order of the rooms
	$(BIN)/ruff check vitbench tests
	$(BIN)/ruff format --check vitbench tests
	$(BIN)/mypy
	$(BIN)/lint-imports

evidence: $(INSTALLED)  ## simulate the statistics anew (a quarter of an hour)
	$(BIN)/python tests/evidence/simulate_statistics.py
	$(BIN)/python tests/evidence/sentences.py

DEVICE ?= auto
PHOTOS ?= ../shared/datasets
bench: $(INSTALLED)  ## measure speed (hours; idle machine; PHOTOS=folder of JPEGs with flowers5 in it, DEVICE=cuda)
	$(BIN)/python tests/evidence/performance.py all --photos $(PHOTOS) --device $(DEVICE)

WEIGHTS ?= ../shared/weights
NETWORK ?=
reference: $(INSTALLED)  ## carry out the reference benchmarks (three minutes of one core; PHOTOS=, WEIGHTS= folders, NETWORK=1)
	$(BIN)/python tests/evidence/reference.py write $(PHOTOS) $(WEIGHTS) $(if $(NETWORK),--network)

reference-check: $(INSTALLED)  ## the same anew; names what moved since results/evidence/reference.md
	$(BIN)/python tests/evidence/reference.py check $(PHOTOS) $(WEIGHTS) $(if $(NETWORK),--network)

gpu: $(INSTALLED)  ## check this machine's GPU, right and fast (eight minutes), and write results/evidence/gpu.md
	$(BIN)/python tests/gpu/check.py --minutes 7.3 --out results/evidence/gpu.jsonl; status=$$?; \
	  $(BIN)/python tests/evidence/gpu.py && exit $$status

format: $(INSTALLED)  ## format the code
	$(BIN)/ruff check --fix vitbench tests
	$(BIN)/ruff format vitbench tests

clean:  ## remove the virtual environment and caches; data and results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
