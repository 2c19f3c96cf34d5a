# Two commands matter: `make demo` and `make test`. Each sets everything up by itself.
VENV   ?= .venv
PYTHON := $(VENV)/bin/python
BINARY_VENV ?= build/venv

TORTURE := tests/faults tests/sim tests/engine/test_deploy_churn.py tests/engine/test_books.py \
	tests/plant/test_faults_explained.py

# Training needs a gigabyte of libraries that the product does not.
TRAIN := build/train

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo run llm test quick torture bench binary sbom appliance docs model clean

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready  ## make the product's own environment
setup-dev: $(VENV)/.ready-dev

$(VENV)/.ready: pyproject.toml .ci/setup.sh
	@sh .ci/setup.sh $(VENV)
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@sh .ci/setup.sh $(VENV) dev
	@touch $@

demo: setup  ## run a simulated plant and the gateway against it
	@$(VENV)/bin/genba models install --background
	@$(VENV)/bin/genba demo $(ARGS)

run: setup  ## run the flows in flows/
	@$(VENV)/bin/genba run $(ARGS)

llm: setup  ## build what runs language models on this machine (minutes; all else works without)
	@$(VENV)/bin/genba models install

test: setup-dev  ## run all tests
	@$(PYTHON) -m pytest $(ARGS)

quick: setup-dev  ## run the tests that need no devices
	@$(PYTHON) -m pytest -m "not plant and not slow" $(ARGS)

torture: setup-dev  ## kill, cut and break everything for hours; writes ui/help/reliability.md
	@rm -f .torture.jsonl
	@GENBA_TORTURE=1 GENBA_FIGURES=$(CURDIR)/.torture.jsonl PYTHONUNBUFFERED=1 \
		$(PYTHON) -m pytest -v $(TORTURE) $(ARGS)
	@GENBA_TORTURE=1 GENBA_DATE=$$(date +%F) $(PYTHON) -m tests.faults.report .torture.jsonl

bench: setup-dev  ## measure this machine and print the table
	@$(PYTHON) tests/bench/__main__.py $(ARGS)

ifeq ($(ARCH)$(SUITE),)
binary: $(VENV)/.ready-binary  ## build dist/genba-VERSION-ARCH, the product in one file
	@$(BINARY_VENV)/bin/python .ci/binary/build.py
else
binary:  # ARCH=aarch64 for another processor, SUITE=bullseye for older systems
	@sh .ci/binary/elsewhere.sh "$(or $(ARCH),x86_64)" "$(or $(SUITE),bookworm)"
endif

sbom: setup  ## write dist/genba.cdx.json, the bill of materials (CycloneDX)
	@mkdir -p dist
	@$(VENV)/bin/genba licences --cyclonedx > dist/genba.cdx.json
	@echo dist/genba.cdx.json

$(VENV)/.ready-binary: pyproject.toml .ci/setup.sh
	@sh .ci/setup.sh $(BINARY_VENV) binary
	@mkdir -p $(VENV) && touch $@

appliance: setup-dev binary  ## install, kill and update the binary on booted machines; needs root
	@GENBA_APPLIANCE=1 $(PYTHON) -m pytest tests/appliance $(ARGS)

docs: setup  ## write the generated help pages
	@$(VENV)/bin/genba docs --write

model: $(TRAIN)/.ready  ## train our own language model from nothing; goes on where it was stopped
	@PYTHONPATH=$(CURDIR) nice -n 5 $(TRAIN)/bin/python -m models.explainer.training $(ARGS)

$(TRAIN)/.ready: pyproject.toml .ci/setup.sh
	@sh .ci/setup.sh $(TRAIN) train
	@$(TRAIN)/bin/genba models install
	@touch $@

clean:  ## remove the environment and caches
	rm -rf $(VENV) $(TRAIN) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
