# Everything a fresh machine needs: Python 3.11 or newer, and a connection to a Python package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TYPED := registry.py semfid models heads backbones metrics data_tools datamodules lightning_modules engine user_study

.PHONY: help quickstart test properties lint format clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

quickstart: $(STAMP)  ## install, then compare metrics on the embedded scenes (about 7 minutes)
	$(BIN)/semfid ablate experiments/quickstart.yaml

test: $(STAMP)  ## ruff, mypy and all tests; those on real data where SEMFID_TEST_DATA, or ../shared/data, is there
	$(BIN)/ruff check .
	@data="$${SEMFID_TEST_DATA:-}"; if [ -z "$$data" ] && [ -d ../shared/data ]; then data="$$(cd ../shared/data && pwd)"; fi; \
	if [ -n "$$data" ]; then export SEMFID_TEST_DATA="$$data"; fi; \
	types="$$(mktemp)"; $(BIN)/mypy $(TYPED) >"$$types" 2>&1 & typing=$$!; \
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile; tests=$$?; \
	wait $$typing; typed=$$?; cat "$$types"; rm -f "$$types"; exit $$((tests > typed ? tests : typed))

properties: $(STAMP)  ## property tests alone, with many new random examples at each call (`make test` draws the same few); long
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -n 2 -m hypothesis --hypothesis-profile=random --timeout 3600 \
		--hypothesis-show-statistics

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy $(TYPED)

format: $(STAMP)  ## sort imports, mend what ruff can mend
	$(BIN)/ruff check --fix .

$(STAMP): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt -e '.[dev,text]'
	touch $(STAMP)

clean:  ## remove runs, caches and rendered data (not the environment)
	rm -rf runs data .cache .pytest_cache .mypy_cache .ruff_cache
