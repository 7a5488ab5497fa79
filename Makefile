# Everything a fresh machine needs: Python 3.11 or newer, and a connection to a Python package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TYPED := registry.py semfid models heads backbones metrics data_tools datamodules lightning_modules engine user_study

# images for containers set it; without compiled modules an import of torch and lightning takes twice as long, in every process
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help quickstart test test-fast properties lint types format docs lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/'

quickstart: $(STAMP)  ## install, score nine real photos, compare trained metrics on rendered scenes (about 3 minutes)
	@echo "1 of 2: the default metric on nine photos and what super-resolution made of them"
	$(BIN)/semfid score examples/photos/reference examples/photos/realesrgan --out runs/photos/scores.csv --map runs/photos/maps
	@echo "2 of 2: an ablation on rendered scenes: ImageNet or random features, three poolings, two fits, beside PSNR and SSIM"
	$(BIN)/semfid ablate experiments/quickstart.yaml
	@echo
	@echo "Look at   runs/photos/maps/*_overlay.png and runs/quickstart/report.html"
	@echo "Next      source .venv/bin/activate"
	@echo "          semfid score PHOTO OUTPUT --map maps                  a pair of your own, or two folders"
	@echo "          semfid run experiments/quickstart.yaml model.head.pooling=max   another head"
	@echo "          semfid study serve my_study                           collect votes of people; docs/user_study.md"
	@echo "          semfid list heads                                     what is registered; docs/plugins.md"

test: $(STAMP)  ## lint and all tests; those on real data where SEMFID_TEST_DATA, or ../shared/data, is there
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/codespell
	@data="$${SEMFID_TEST_DATA:-}"; if [ -z "$$data" ] && [ -d ../shared/data ]; then data="$$(cd ../shared/data && pwd)"; fi; \
	if [ -n "$$data" ]; then export SEMFID_TEST_DATA="$$data"; fi; \
	types="$$(mktemp)"; $(BIN)/mypy $(TYPED) >"$$types" 2>&1 & typing=$$!; \
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile; tests=$$?; \
	wait $$typing; typed=$$?; cat "$$types"; rm -f "$$types"; exit $$((tests > typed ? tests : typed))

properties: $(STAMP)  ## property tests alone, with many new random examples at each call (`make test` draws the same few); long
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -n 2 -m hypothesis --hypothesis-profile=random --timeout 3600 \
		--hypothesis-show-statistics

test-fast: $(STAMP)  ## ruff and two minutes of tests that touch every room
	$(BIN)/ruff check --quiet .
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile @tests/fast.txt

lint: $(STAMP)  ## ruff (rules and format), codespell, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/codespell
	$(BIN)/mypy $(TYPED)

types: $(STAMP)  ## mypy
	$(BIN)/mypy $(TYPED)

format: $(STAMP)  ## format, sort imports, fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## the documentation site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -f tools/mkdocs.yml

lock: $(STAMP)  ## requirements.lock from requirements.txt and the extras; run it after a change of either
	$(BIN)/uv pip compile --quiet requirements.txt pyproject.toml --extra dev --extra text --python-version 3.11 --universal \
		--generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -o requirements.lock

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $(STAMP)

clean:  ## remove runs, caches and rendered data (not the environment)
	rm -rf runs data .cache .pytest_cache .mypy_cache .ruff_cache
