# One front door: `make help`. Everything runs in .venv, made from the lock file.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
RUN := $(VENV)/bin
export UV_PROJECT_ENVIRONMENT := $(VENV)
# Trust what the system trusts, as pip does; pyproject.toml says it too, but not to uv's tools.
export UV_SYSTEM_CERTS := 1
# The tests start some hundreds of processes, and compiling takes three times what a start does.
export UV_COMPILE_BYTECODE := 1
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install lint types imports check test test-platform pure integration nightly \
	simulate benchmark demo schemas docs sbom audit-dependencies image clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

$(VENV)/.installed: pyproject.toml uv.lock
	@$(RUN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@$(RUN)/uv sync --quiet --locked --all-extras --no-extra kerberos --inexact
	@touch $@

install: $(VENV)/.installed ## Make the environment from the lock file.

lint: install ## Ruff: rules and format.
	$(RUN)/ruff check jetworker tests
	$(RUN)/ruff format --check jetworker tests

types: install ## Mypy, strict, tests too.
	$(RUN)/mypy

imports: install ## Import directions.
	$(RUN)/lint-imports --no-cache

check: lint types imports ## Everything that runs no test.

pure: install ## Tests of the pure parts, with 100 % branch coverage of core/ and wire/.
	$(RUN)/pytest -q tests/core tests/wire -n 2 --dist=worksteal \
		--cov=jetworker.core --cov=jetworker.wire --cov-branch --cov-fail-under=100 \
		--cov-report=term-missing:skip-covered

# Mypy is one process: the pure tests fill the other core. Of four that run the rest, one has
# what computes all the time, the others what mostly waits for Kafka: see tests/support/dealing.py.
test: install ## Everything that must pass before a commit lands; Python, git and make do.
	@$(MAKE) --no-print-directory -j 2 check pure
	$(RUN)/pytest -q tests --ignore=tests/core --ignore=tests/wire -n 4 --dist=worksteal \
		-m "not nightly and not platform"

test-platform: ## What needs programs that the package index does not have: it names them.
	@$(PYTHON) tests/support/programs.py
	@$(MAKE) --no-print-directory install
	@$(RUN)/uv sync --quiet --locked --all-extras --inexact
	$(RUN)/pytest -q tests -m "platform and not nightly"

integration: install ## Only the tests on a real Kafka.
	$(RUN)/pytest -q tests -m "integration and not nightly and not platform"

nightly: install ## What takes too long for every commit.
	$(RUN)/pytest -q tests -m nightly

SEEDS ?= 100000
simulate: install ## Seeded lives in virtual time; SEEDS=100000 is some hours.
	$(RUN)/python -m tests.simulation --seeds $(SEEDS) --jobs 2

benchmark: install ## Ratios that must hold on any machine, and latencies of this one.
	$(RUN)/python -m tests.benchmark

demo: install ## Everything on this machine: Kafka, Jet sandbox, two workers, an account.
	$(RUN)/jetworker demo

docs: install ## Write the reference pages of docs/ anew from what they describe.
	$(RUN)/python -m tests.docs.pages

schemas: install ## Write schemas/ anew from the models.
	$(RUN)/jetworker schemas schemas

sbom: install ## Software bill of materials (CycloneDX) from the lock, with licences.
	$(RUN)/uv export --quiet --locked --no-dev --format cyclonedx1.5 --output-file sbom.cdx.json
	$(RUN)/python -m tests.packaging.sbom sbom.cdx.json

audit-dependencies: install ## Known vulnerabilities of the locked dependencies; fails where it cannot tell.
	$(RUN)/uv export --quiet --locked --no-dev --no-emit-project --output-file requirements.audit.txt
	@# pip-audit brings authorities of its own; these are the system's.
	REQUESTS_CA_BUNDLE=$${REQUESTS_CA_BUNDLE:-$$($(RUN)/python -c \
		'import ssl; p = ssl.get_default_verify_paths(); print(p.cafile or p.capath or "")')} \
		$(RUN)/uvx pip-audit --strict --require-hashes --disable-pip -r requirements.audit.txt

REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
EXTRAS ?=
image: ## Build the container image with docker, or buildah where there is none; EXTRAS="aws otel".
	@if docker info >/dev/null 2>&1; then builder="docker build"; \
	elif command -v buildah >/dev/null; then builder="buildah bud --isolation chroot"; \
	else echo "make image needs docker or buildah: apt-get install buildah" >&2; exit 1; fi; \
	set -x; $$builder --build-arg REVISION=$(REVISION) \
		--build-arg EXTRAS="$(addprefix --extra=,$(EXTRAS))" -t jetworker .

clean: ## Remove what was made here.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
