# `make demo` and `make test` need this checkout and Python 3.11 or newer, nothing else.

VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
DEV   := $(VENV)/.ready-dev
PIP   := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile
ARGS  ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types check bench lock wheel clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  ARGS="…" is passed on: make test ARGS="-k fence -x"'

demo: $(READY) ## real work on the embedded database, in under a minute
	@$(BIN)/jobtable demo $(ARGS)

test: $(DEV) ## all tests, on every database that can be had here
	@$(BIN)/python -m pytest $(ARGS)

lint: $(DEV) ## style, likely bugs, formatting
	@$(BIN)/ruff check $(ARGS)
	@$(BIN)/ruff format --check --quiet --diff

format: $(DEV) ## mend what lint can mend by itself
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

types: $(DEV) ## static types, strict
	@$(BIN)/mypy $(ARGS)

check: lint types test ## lint, types and test

bench: $(DEV) ## speed beside a peer and bare SQL
	@$(BIN)/python -m bench $(ARGS)

# What it pins already stays pinned; the second file has the first one's versions.
COMPILE := pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --no-annotate --all-extras --group build
lock: $(DEV) ## bring the lock files in line with pyproject.toml (ARGS=--upgrade: newest of everything)
	@cp requirements.lock $(VENV)/run.lock && cp requirements-dev.lock $(VENV)/dev.lock
	@$(BIN)/uv $(COMPILE) --output-file $(VENV)/run.lock $(ARGS)
	@$(BIN)/uv $(COMPILE) --constraints $(VENV)/run.lock --group check --group lock --group test --output-file $(VENV)/dev.lock $(ARGS)
	@if grep -n '://' $(VENV)/run.lock $(VENV)/dev.lock; then echo 'A lock file would name an address; left as they were.' >&2; exit 1; fi
	@cmp -s $(VENV)/run.lock requirements.lock || cp $(VENV)/run.lock requirements.lock
	@cmp -s $(VENV)/dev.lock requirements-dev.lock || cp $(VENV)/dev.lock requirements-dev.lock

wheel: $(READY) ## build dist/jobtable-….whl, without network
	@$(BIN)/python -m hatchling build --target wheel

clean: ## remove what make made
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The newest Python here that really runs, is at least 3.11 and can make a virtual environment; PY=… names another.
PYTHONS := $(or $(PY),python3.14 python3.13 python3.12 python3.11 python3)
$(READY): requirements.lock pyproject.toml
	@python=; \
	for candidate in $(PYTHONS); do \
	    if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	    then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo 'jobtable needs Python 3.11 or newer with its venv module, and found none (tried: $(PYTHONS)).' >&2; \
	    echo 'Install one (Debian, Ubuntu: apt install python3-venv), or name it: make PY=/path/to/python3 demo' >&2; \
	    exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$python" -V), once …"; \
	"$$python" -m venv --clear $(VENV)
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-index --no-build-isolation --editable .
	@touch $@

$(DEV): $(READY) requirements-dev.lock
	@echo 'Adding the tools of the tests, once …'
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
