# One command runs a function, one tests everything; each does its own set-up.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# A version alone (make layer PYTHON=3.14) says what is built, not by what.
LAYER_PYTHON := $(filter $(addsuffix %,0 1 2 3 4 5 6 7 8 9) all,$(PYTHON))
override PYTHON := $(if $(LAYER_PYTHON),python3,$(PYTHON))
VENV := .venv
PY := $(VENV)/bin/python
# Each test process starts runtimes and emulators of its own: with more processes than processors
# the whole is faster, but tests of deadlines get too little time. Unit tests mostly wait.
PYTEST = $(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

.PHONY: help setup check test test-all soak lint bench bench-imports bench-lazy bench-artefacts run emulator core layer layer-check layer-lock pythons-lock image release publish-layers publish-images compatibility docs aws-smoke clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

setup: $(VENV)/.ready ## the virtual environment that everything below uses

$(VENV)/.ready: tests/requirements.txt tests/requirements-unit.txt tests/requirements-emulator.txt layer/requirements.in release/requirements.txt core/requirements.txt
	@tests/support/setup.sh $(PYTHON) $(VENV) tests/requirements.txt
	@touch $@ $(VENV)/.run $(VENV)/.layer $(VENV)/.emulator $(VENV)/.release $(VENV)/.core

$(VENV)/.core: core/requirements.txt
	@tests/support/setup.sh $(PYTHON) $(VENV) core/requirements.txt
	@touch $@

$(VENV)/.run: tests/requirements-run.txt
	@tests/support/setup.sh $(PYTHON) $(VENV) tests/requirements-run.txt
	@touch $@

$(VENV)/.emulator: tests/requirements-emulator.txt
	@tests/support/setup.sh $(PYTHON) $(VENV) tests/requirements-emulator.txt
	@touch $@

$(VENV)/.layer: layer/requirements.txt
	@tests/support/setup.sh $(PYTHON) $(VENV) layer/requirements.txt
	@touch $@ $(VENV)/.run

$(VENV)/.release: release/requirements.txt layer/requirements.in tests/requirements-run.txt
	@tests/support/setup.sh $(PYTHON) $(VENV) release/requirements.txt
	@touch $@ $(VENV)/.layer $(VENV)/.run

run: $(VENV)/$(if $(LAYER)$(IMAGE),.layer,.run) ## run a function: make run [LAYER=1 | IMAGE=1 [PYTHON=3.14]] [TASK=dir] [HANDLER=app.handler] [EVENT=event.json | sqs | - …] [TIMEOUT=30 …: docs/emulator-invoke.md]
	$(if $(LAYER),$(if $(IMAGE),$(error LAYER or IMAGE, not both: each is a place for the function)))
	@PYTHONPATH=emulator $(PY) -m $(if $(LAYER),layer.run,$(if $(IMAGE),container.run,lambda_rie.run)) $(if $(LAYER)$(IMAGE),--python "$(LAYER_PYTHON)") --task "$$TASK" --handler "$$HANDLER" --event "$$EVENT" \
	  --set "$$SET" --timeout "$$TIMEOUT" --memory "$$MEMORY" --name "$$FUNCTION_NAME" --region "$$REGION" \
	  --env "$$ENV" --env-file "$$ENV_FILE" --venv "$$FUNCTION_VENV"

core: $(VENV)/.core ## the transport in C, into the checkout's package (ARGS="--output FOLDER": for both architectures)
	@$(PY) -m core $(ARGS)

layer: $(VENV)/.layer ## the Lambda layers, into build/layer: make layer [PYTHON=3.14 | PYTHON=all] [ARCH=arm64] [DEBIAN_MIRROR=url]
	@$(PY) -m layer build --arch "$${ARCH:-all}" --python "$(LAYER_PYTHON)"

layer-check: $(VENV)/.layer ## will Lambda take these zips together: make layer-check ZIP="a.zip b.zip" ARCH=x86_64 [PYTHON=3.14]
	@$(PY) -m layer check --arch "$$ARCH" --python "$(LAYER_PYTHON)" $(ZIP)

layer-lock: $(VENV)/.layer ## renew layer/lock.json: the newest Debian packages, security fixes included
	@$(PY) -m layer lock

pythons-lock: setup ## renew tests/support/debian_pythons.json: the Pythons that the tests run on
	@cd tests && PYTHONPATH=.. ../$(PY) -m support.debian_pythons

image: $(VENV)/.layer ## the container base images, into build/image: make image [PYTHON=3.14 | PYTHON=all] [ARCH="x86_64 arm64"]
	@PYTHONPATH=emulator $(PY) -m container --arch "$$ARCH" --python "$(LAYER_PYTHON)"

release: $(VENV)/.release ## everything that ships, from the commit that is checked out, into dist/: make release [ARGS="--part python"]
	@$(PY) -m release build $(ARGS)

publish-layers: $(VENV)/.release ## a release's layers, for everybody to use: make publish-layers REGIONS=all
	@$(PY) -m release layers $(foreach region,$(REGIONS),--region $(region))

publish-images: $(VENV)/.release ## a release's images: make publish-images REGISTRY=registry.example/path
	@$(PY) -m release images --registry "$(REGISTRY)"

check: lint ## what to run after every change: the linters and the unit tests
	@$(PYTEST) --numprocesses 6 --loadscope-reorder tests/unit

test: setup ## all tests, under the real Runtime Interface Emulator too, and on every CPython from 3.11 to 3.15
	@$(PYTEST) --durations=25

test-all: setup ## the same with the long forms, before a release: an hour or more
	@FUZZ=10 $(PYTEST) -m "" --durations=50
	@$(MAKE) soak

soak: setup ## faults at random bytes, a million invocations, messages under crashes (shorter: make soak ARGS="--batches 5 --managed 4 --mixed 2000 --memory 100000 --messages 500")
	@PYTHONPATH=.:runtime:emulator:tests $(PY) -m support.soak $(ARGS)

lint: setup ## ruff and mypy --strict: what .ci/run checks besides the tests
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy

bench: setup ## measure beside the peers: one table (ARGS=--quick for a short form)
	@$(PY) -m benchmarks $(ARGS)

bench-imports: setup ## cold starts of functions with the usual imports, packed (ARGS="boto3 django --rounds 3")
	@$(PY) -m benchmarks.imports $(ARGS)

bench-lazy: setup ## lazy imports on Python 3.15: init and first call (ARGS="--rounds 5"; root for 7 % of a processor)
	@$(PY) -m benchmarks.lazy_imports $(ARGS)

bench-artefacts: setup layer image ## the sizes of layers and images, and the cold start in them
	@PYTHONPATH=emulator $(PY) -m benchmarks.artefacts $(ARGS)

aws-smoke: $(VENV)/.release ## cold starts in your own AWS account, beside AWS's runtime; says what it costs, asks, cleans up (ARGS="--starts 5")
	@PYTHONPATH=emulator $(PY) -m smoke $(ARGS)

docs: setup ## the documentation as a site, in build/site; links and commands checked
	@$(PY) -m pages.site $(ARGS)

compatibility: setup ## 48 libraries at their newest, here and on awslambdaric: writes docs/compatibility.md
	@PYTHONPATH=emulator $(PY) -m compatibility $(ARGS)

emulator: $(VENV)/.emulator ## the emulator's command: make emulator ARGS="app.handler --task-root examples/hello"
	@PYTHONPATH=$(CURDIR)/emulator $(PY) -m lambda_emulator $(ARGS)

clean: ## remove what the other commands made in this folder
	@container/clean.sh build/containers
	rm -rf $(VENV) .venvs build dist runtime/lambda_runtime/core.*.so .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
