# rproxy: `make help` lists what can be made. Nothing here needs root, Docker or a Redis that is already there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOGETHER := --numprocesses 2 --dist loadfile
SOURCES := $(wildcard rproxy/dataplane/*.py rproxy/dataplane/*.pxd) pyproject.toml setup.py

.DEFAULT_GOAL := help
.PHONY: help build demo test test-interpreted model chaos soak fuzz compat lint fix bench instructions clean

help:  ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(STAMP): $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,lint]"
	touch $@

build: $(STAMP)  ## Make .venv with rproxy in it, the data plane compiled

demo: build  ## A leader, two replicas and rproxy in front; ARGS="--port 7400 --duration 5"
	$(BIN)/rproxy demo $(ARGS)

test: build  ## All tests; ARGS="-k name" for some
	$(BIN)/python -m pytest $(TOGETHER) $(ARGS)

test-interpreted: build  ## All tests with the data plane interpreted
	RPROXY_INTERPRETED=1 $(BIN)/python -m pytest $(TOGETHER) $(ARGS)

model: build  ## Random commands through rproxy and to one server directly, compared; ARGS="--seed 7 --seconds 300"
	$(BIN)/python -m tests.model $(ARGS)

chaos: build  ## Every nemesis against rproxy under load, a table at the end; ARGS="--short", ARGS="net-reset --seed 7", ARGS=--list
	$(BIN)/python -m tests.chaos $(ARGS)

soak: build  ## Mixed traffic for long, with memory and descriptors watched; ARGS="--minutes 60"
	$(BIN)/python -m tests.chaos.soak $(ARGS)

fuzz: $(VENV)/.fuzz  ## Fuzz the framers and a whole session (atheris); ARGS="--seconds 600", ARGS=--address-sanitizer
	$(BIN)/python -m tests.fuzz $(ARGS)

$(VENV)/.fuzz: $(STAMP)
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['fuzz'], sep='\n')" > $@
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $@

compat: build  ## Redis's own test suite, direct and through rproxy (needs tclsh, redis-server 7.0, apt); ARGS="--resp3"
	$(BIN)/python -m tests.compat.redis_suite $(ARGS)

lint: build  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: build  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['bench'], sep='\n')" > $@
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $@

bench: $(VENV)/.bench  ## rproxy beside its peers; ARGS="--quick" for the short one
	$(BIN)/python -m bench $(ARGS)

instructions: build  ## Instructions per command, which must not grow by more than a tenth (needs valgrind); ARGS="--save"
	$(BIN)/python -m bench.instructions $(ARGS)

clean:  ## Remove what was built
	rm -rf $(VENV) build *.egg-info rproxy/dataplane/*.so
