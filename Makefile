# Thin: what a target calls is documented in CONTRIBUTING.md and works without make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete

.PHONY: help demo test lint env clean

help:
	@echo "make demo   write a synthetic CT study, run the cascade on it, say which file to open"
	@echo "make test   run the tests"
	@echo "make lint   ruff and mypy"
	@echo "make env    make the environment in $(VENV)"
	@echo "make clean  remove what these made, but for the environment"

demo: $(STAMP)
	$(BIN)/renalct demo

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

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
	rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
