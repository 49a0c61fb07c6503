# rproxy: `make help` lists what can be made. Nothing here needs root, Docker or a Redis that is already there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOGETHER := --numprocesses 2 --dist loadfile
# Tests whose outcome may depend on how the data plane is run.
OF_CLIENTS := $(addprefix tests/,dataplane integration freshness)
SOURCES := $(wildcard rproxy/dataplane/*.py rproxy/dataplane/*.pxd) pyproject.toml setup.py

.DEFAULT_GOAL := help
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
.PHONY: help build demo test test-interpreted model chaos soak fuzz compat compat-software lint fix bench instructions lock sbom clean

help:  ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(VENV)/.packages: requirements/build.txt requirements/demo.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --requirement requirements/build.txt --requirement requirements/demo.txt
	touch $@

$(STAMP): $(VENV)/.packages $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# What tests, lint and benchmarks need beside it.
$(VENV)/.%: requirements/%.txt $(STAMP)
	$(INSTALL) --requirement $<
	touch $@

build: $(STAMP)  ## Make .venv with rproxy in it, the data plane compiled

demo: build  ## A leader, two replicas and rproxy in front; ARGS="--port 7400 --duration 5"
	$(BIN)/rproxy demo $(ARGS)

test: $(VENV)/.test  ## All tests; ARGS="-k name" for some
	$(BIN)/python -m pytest $(TOGETHER) $(ARGS)

test-interpreted: $(VENV)/.test  ## The tests of what clients see, with the data plane interpreted
	RPROXY_INTERPRETED=1 $(BIN)/python -m pytest $(TOGETHER) $(ARGS) $(OF_CLIENTS)

model: $(VENV)/.test  ## Random commands through rproxy and to one server directly, compared; ARGS="--seed 7 --seconds 300"
	$(BIN)/python -m tests.model $(ARGS)

chaos: $(VENV)/.test  ## Every nemesis against rproxy under load, a table at the end; ARGS="--short", ARGS="net-reset --seed 7", ARGS=--list
	$(BIN)/python -m tests.chaos $(ARGS)

soak: $(VENV)/.test  ## Mixed traffic for long, with memory and descriptors watched; ARGS="--minutes 60"
	$(BIN)/python -m tests.chaos.soak $(ARGS)

fuzz: $(VENV)/.test $(VENV)/.fuzz  ## Fuzz the framers and a whole session (atheris); ARGS="--seconds 600", ARGS=--address-sanitizer
	$(BIN)/python -m tests.fuzz $(ARGS)

compat: $(VENV)/.test  ## Redis's own test suite, direct and through rproxy (needs tclsh, redis-server 7.0, apt); ARGS="--resp3", ARGS=--every
	$(BIN)/python -m tests.compat.redis_suite $(ARGS)

compat-software: $(VENV)/.test  ## Other people's test suites, direct and through rproxy; ARGS="django-redis rq", ARGS=--quick, ARGS=--list
	$(BIN)/python -m tests.compat.software $(ARGS)

lint: $(VENV)/.test  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/.test  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test $(VENV)/.bench  ## rproxy beside its peers; ARGS="--quick" for the short one
	$(BIN)/python -m bench $(ARGS)

instructions: $(VENV)/.test  ## Instructions per command, which must not grow by more than a tenth (needs valgrind); ARGS="--save"
	$(BIN)/python -m bench.instructions $(ARGS)

lock: $(VENV)/release/.installed  ## Resolve requirements/*.txt anew from pyproject.toml: versions and hashes of every package
	$(VENV)/release/bin/python scripts/lock.py

sbom: $(VENV)/release/.installed  ## The software bill of materials of what runs, in build/sbom.cdx.json (CycloneDX)
	$(PYTHON) -m venv --clear $(VENV)/runtime
	$(VENV)/runtime/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/runtime.txt
	$(VENV)/runtime/bin/python -m pip uninstall --quiet --yes pip setuptools
	mkdir -p build
	$(VENV)/release/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.cdx.json $(VENV)/runtime/bin/python

$(VENV)/release/.installed: requirements/release.txt
	$(PYTHON) -m venv $(VENV)/release
	$(VENV)/release/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/release.txt
	touch $@

clean:  ## Remove what was built
	rm -rf $(VENV) build *.egg-info rproxy/dataplane/*.so
