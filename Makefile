# Thin: what a target calls is documented in CONTRIBUTING.md and works without make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete

OHIF := tests/viewer/node_modules/@ohif/app

.PHONY: help demo label-demo test viewer-test viewer-tools map-context map map-test lint env clean

help:
	@echo "make demo   write a synthetic CT study, run the cascade on it, say which file to open"
	@echo "make label-demo    Orthanc, the label server, three made annotators, two loops of training, and a report"
	@echo "make test   run the tests"
	@echo "make viewer-test   show a stored label and results in OHIF in a browser without a screen (npm, chromium, orthanc)"
	@echo "make map-context   what the MONAI packager would build, in build/map/context, without docker"
	@echo "make map    the image, with docker or, as root, buildah; then map-test"
	@echo "make map-test      the image on a made study: read-only, no network, another user, no capability"
	@echo "make lint   ruff and mypy"
	@echo "make env    make the environment in $(VENV)"
	@echo "make clean  remove what these made, but for the environment"

demo: $(STAMP)
	$(BIN)/renalct demo

label-demo: $(STAMP)
	$(BIN)/python labelapp/demo -o label-demo

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

viewer-test: $(STAMP) viewer-tools
	$(BIN)/python -m pytest tests/test_ohif.py tests/test_ohif_results.py

# Of @ohif/app only the built pages are unpacked: installing it would fetch all that it was built from.
viewer-tools: $(OHIF)/package.json

$(OHIF)/package.json: tests/viewer/package.json tests/viewer/package-lock.json
	cd tests/viewer && npm ci --ignore-scripts --no-audit --no-fund
	mkdir -p $(OHIF)
	cd $(OHIF) && tar xzf "$$(npm pack --silent "$$(node -p 'const p = require("../../../package.json"); "@ohif/app@" + p.config.ohif')")" \
		--strip-components 1 --exclude '*.map' && rm -f ./*.tgz
	touch $@

map-context: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m packager context

map: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m packager image
	$(BIN)/python -m packager try

map-test: $(STAMP)
	$(BIN)/python -m packager try

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

env: $(STAMP)

# sam2, which monailabel requires, is built from source with a torch of its own unless it is told to use ours.
$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed, not " + sys.version.split()[0] + ": install it, or name it with make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	grep '^torch==' requirements.txt > $(VENV)/torch.txt
	SAM2_BUILD_CUDA=0 PIP_CONSTRAINT=$(VENV)/torch.txt PIP_BUILD_CONSTRAINT=$(VENV)/torch.txt \
		$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@

clean:
	rm -rf demo label-demo tests/viewer/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
