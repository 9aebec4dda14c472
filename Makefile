# Everything happens in .venv, which `make install` makes from the lock file. `make` alone lists the targets.
PYTHON ?= python3
ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
# The helpers in api/tests/support run with the environment's Python.
SUPPORT := PYTHONPATH=api/tests $(PY) -m support

.DEFAULT_GOAL := help
.PHONY: help install run test bench soak screenshots lint format lock clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## create .venv with all that running and testing need (quick when nothing changed)
	@$(SUPPORT).pgtap install || echo "Everything else is installed; only 'make test' needs pgTAP and fails without it."
	@$(SUPPORT).chromium install || echo "Everything else is installed; only 'make test' needs Chromium and fails without it."

# The stamp holds the folder: an environment that was moved or copied starts programs at its old place, so it is made anew.
ifneq ($(shell cat $(VENV)/.installed 2>/dev/null),$(CURDIR))
$(VENV)/.installed: FORCE
endif
$(VENV)/.installed: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Limena needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another: make $(MAKECMDGOALS) PYTHON=python3.13"; exit 1; }
	@if [ -e $@ ] && [ "$$(cat $@)" != "$(CURDIR)" ]; then rm -rf $(VENV); fi
	@echo "Installing what requirements-dev.lock names into $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo "$(CURDIR)" > $@

run: $(VENV)/.installed ## start Limena with an embedded PostgreSQL and demo data on http://127.0.0.1:8000
	@$(VENV)/bin/limena dev $(ARGS)

test: $(VENV)/.installed ## all that CI checks, on the embedded PostgreSQL and on each one of the system (ARGS="-k word")
	@$(SUPPORT).pgtap install
	@$(SUPPORT).chromium install
	@$(MAKE) --no-print-directory lint
	@$(SUPPORT).every_server $(ARGS)

bench: $(VENV)/.installed ## measure, side by side in one run; writes bench/results/
	@PYTHONPATH=api/tests $(PY) -m bench $(ARGS)

soak: $(VENV)/.installed ## crash, load and large-data checks that take longer than a test run may
	@$(PY) -m bench.soak $(ARGS)

screenshots: $(VENV)/.installed ## take the pictures of docs/screenshots anew
	@$(SUPPORT).screenshots

lint: $(VENV)/.installed ## ruff, mypy and sqlfluff
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/sqlfluff lint db

format: $(VENV)/.installed ## lay Python out as `make lint` wants it
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# One resolution for all platforms; the runtime's lock is the part of it that a production server installs.
LOCK = $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links
lock: ## resolve the dependencies anew and write both lock files
	@$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install -qq --disable-pip-version-check uv
	$(LOCK) --upgrade --extra embedded --extra test --group build pyproject.toml -o requirements-dev.lock
	$(LOCK) --constraints requirements-dev.lock pyproject.toml -o requirements.lock

clean: ## remove what make made, except for the data in .limena
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

FORCE:
