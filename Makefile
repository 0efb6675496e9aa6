# `make` prints what there is.  `make demo` and `make test` set themselves up first: a virtual
# environment in .venv, the packages that requirements-dev.lock pins by hash, Kafka's jars.
# Say `make PYTHON=python3.12 test` to choose the Python.

.DEFAULT_GOAL := help
NIGHTLY := chaos simulate fuzz soak
.PHONY: help setup demo test check lint bench-check format lock clean $(NIGHTLY)
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
LAUNCHERS := python3 python3.14 python3.13 python3.12 python3.11
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
say = @printf '==> %s\n'

help:  ## Print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(BIN)/.installed $(BIN)/.jars  ## Set up .venv and Kafka's jars; demo and test do it by themselves

demo: setup  ## Run everything on this machine and watch an alert come (Ctrl-C ends it)
	$(say) 'Demo: a local Kafka, a worker, a stream in which something breaks'
	@$(BIN)/driftline demo

test: setup  ## Run all tests, against a real Kafka
	$(say) 'Compiling what workers run (a minute, once)'
	@$(BIN)/python -c 'from stream.warmup import warm_judge, warm_observe; warm_observe(); warm_judge()'
	$(say) 'Tests, against a real Kafka'
	@$(BIN)/pytest

check: lint test  ## Run what CI runs: lint and test

lint: $(BIN)/.installed  ## Check style (ruff) and types (mypy, strict)
	$(say) 'Style and types'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

chaos: setup  ## Kill, stop and partition workers and brokers under load, on a real Kafka (20 minutes)
	$(say) 'Chaos on a real Kafka'
	@$(BIN)/python -m tests.chaos --full

simulate: $(BIN)/.installed  ## Run 10,000 seeds of simulated faults through the real roles
	$(say) 'Simulation: 10,000 seeds'
	@$(BIN)/python -m tests.simulation --seeds 10000

fuzz: $(BIN)/.installed  ## Feed 1,000,000 damaged inputs to every reader, 5,000,000 records to the scanner
	$(say) 'Fuzzing: 1,000,000 cases, then 5,000,000 records'
	@$(BIN)/python -m tests.fuzz --cases 1000000

soak: setup  ## Watch memory and handles over 50M events in the core and 10M through Kafka
	$(say) 'Soak'
	@$(BIN)/python -m tests.soak

bench-check: setup  ## Compare ratios of speed with the stored ones: a drop of 15 % fails (5 minutes)
	$(say) 'Ratios of speed, against docs/benchmarks/performance-baseline.json'
	@$(BIN)/driftline bench check

format: $(BIN)/.installed  ## Format the code, and mend what ruff can mend
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header
BUILD_NEEDS = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])

lock: $(BIN)/.installed  ## Pin requirements and jars anew (UPGRADE=--upgrade for newer versions)
	$(say) 'Pinning requirements and jars'
	@$(COMPILE) $(UPGRADE) --extra worker --extra dev -o requirements-dev.lock pyproject.toml
	@$(COMPILE) $(UPGRADE) --extra worker -o requirements.lock pyproject.toml
	@$(BIN)/python -c '$(BUILD_NEEDS)' | $(COMPILE) $(UPGRADE) -o deploy/requirements-build.lock -
	@$(BIN)/python -c 'from stream.kafka_jars import write_lock; write_lock()'

clean:  ## Remove .venv and every cache here; ~/.driftline (jars, Kafka's data) stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/.python:
	@python='$(PYTHON)'; \
	if $(BIN)/python -c '$(NEW_ENOUGH)' >/dev/null 2>&1; then touch $@; exit; fi; \
	for one in $${python:-$(LAUNCHERS)}; do \
	    "$$one" -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && found="$$one" && break; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "driftline needs Python 3.11 or newer, and none of these is one: $${python:-$(LAUNCHERS)}." >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(or $(MAKECMDGOALS),test)" >&2; \
	    exit 2; \
	fi; \
	echo "==> Virtual environment in $(VENV), with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV) || { \
	    echo "Python's venv module failed; on Debian: apt install python3-venv" >&2; exit 2; }
	@touch $@

$(BIN)/.installed: $(BIN)/.python requirements-dev.lock pyproject.toml
	$(say) 'Installing what requirements-dev.lock pins (a few minutes, once)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(BIN)/.jars: $(BIN)/.installed stream/kafka_jars.lock
	$(say) 'Apache Kafka: its jars, checked against stream/kafka_jars.lock'
	@$(BIN)/python -c 'from stream.localkafka import ensure_jars; ensure_jars(print)'
	@touch $@
