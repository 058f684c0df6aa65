# Two commands are enough: "make demo" and "make test".
PYTHON ?= python3
VENV := .venv
PROCESSES ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test coverage lowest lint format docs dist bench clean

help:
	@echo "make demo     install, then run the whole procedure on embedded data (offline, CPU)"
	@echo "make test     install, lint, run all tests"
	@echo "make coverage run the tests and count the branches that they run; it fails under 95 % of the judging core, 90 % of all"
	@echo "make lowest   run the tests with the oldest versions that pyproject.toml allows, in build/lowest"
	@echo "make lint     formatting, style, types, import contracts"
	@echo "make format   format the code"
	@echo "make docs     write docs/metrics from the metric catalogue, docs/api.md from the docstrings, docs/commands.md from --help, the formats' pages, the site to build/site"
	@echo "make dist     wheel, source archive and bill of materials in dist/"
	@echo "make bench    measure the demo over 10 seeds, write docs/effect.md and the README's table"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + ": set PYTHON=python3.11") if not (3, 11) <= sys.version_info[:2] <= (3, 13) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: install
	$(BIN)/grmu-audit demo

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(BIN):$$PATH" $(BIN)/lint-imports

# single-threaded processes: two of them are faster than one with two threads, since most tests are small
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile

# pip has no way to choose the oldest versions, uv has
lowest:
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=build/lowest build/lowest/bin/uv pip install --quiet --resolution lowest-direct -e ".[dev]"
	OMP_NUM_THREADS=1 build/lowest/bin/python -m pytest -n $(PROCESSES) --dist loadfile $(TESTS)

# the short long run fills its disk, on which the counts lie
coverage: install
	rm -rf build/coverage
	mkdir -p build/coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -n $(PROCESSES) --dist loadfile \
		--deselect tests/unit/benchmarks/test_long_run.py::test_a_short_run_is_as_asked_for_and_goes_on_where_it_stopped
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage json --quiet -o build/coverage/report.json
	$(BIN)/python -m benchmarks.pages.tested_branches build/coverage/report.json

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install
	$(BIN)/python -m benchmarks.pages.metrics --write docs/metrics
	$(BIN)/python -m benchmarks.pages.api --write docs/api.md
	$(BIN)/python -m benchmarks.pages.commands --write docs/commands.md
	$(BIN)/python -m benchmarks.pages.formats --write docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/site

dist: install
	$(BIN)/python -m build --outdir dist
	$(BIN)/cyclonedx-py environment --output-format JSON --output-file dist/sbom.cdx.json $(VENV)

bench: install
	$(BIN)/python -m benchmarks.pages.effect --write docs --readme README.md

clean:
	rm -rf $(VENV) build dist grmu-demo grmu-reports .pytest_cache .mypy_cache .ruff_cache .hypothesis
