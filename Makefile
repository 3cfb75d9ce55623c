# Two commands: `make demo`, `make test`. Both build .venv first where it is missing or out of date.
# `make test` leaves out what is marked slow; `make test-all` runs everything.
PYTHON ?= python3
BIN := .venv/bin
FOLDERS := morphology controllers envs training scripts

.PHONY: setup demo test test-all check bench clean
setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else "Lancelet needs Python 3.11 to 3.13: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --upgrade pip
	$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[all,dev]'
	@touch .venv/.ready

demo: setup
	$(BIN)/lancelet train swim ncap --video

test: setup
	$(BIN)/python -m pytest -n logical --dist loadfile -m 'not slow'

test-all: setup
	$(BIN)/python -m pytest -n logical --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf build/typed && mkdir -p build/typed
	@cp -rs $(CURDIR)/lancelet build/typed/lancelet
	@for folder in $(FOLDERS); do cp -rs $(CURDIR)/$$folder build/typed/lancelet/$$folder; done
	$(BIN)/basedpyright

bench: setup
	$(BIN)/lancelet bench envs
	$(BIN)/lancelet bench evolve

clean:
	rm -rf .venv build dist *.egg-info
