# Both of the README's commands start from a bare checkout: they need Python 3.11 or newer and nothing else.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	if command -v $$python >/dev/null && $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$python; break; fi; done)
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
TESTED := $(VENV)/.tested
UNFINISHED := $(VENV)/.unfinished
TORCH := $(VENV)/.torch
CUDA := $(VENV)/.cuda
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check -c .config/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo bench tables test test-slow soak lint clean

help:
	@echo "make demo   train DT, QT and RVDT on maze2d-umaze and print their scores (about 10 minutes on 2 CPU cores)"
	@echo "make bench  measure speed, beside PyTorch, and print the table (about a quarter of an hour on 2 CPU cores)"
	@echo "make tables make every table and the generated sections of the README files from the committed records"
	@echo "make test   the fast tests"
	@echo "make test-slow  README commands, several processes, faults, every task, the benchmark's peers, programs for a GPU"
	@echo "make soak   kill runs, fill disks, break environments, and print what was survived (a quarter of an hour)"
	@echo "make lint   style checks"
	@echo "make clean  remove the environment and caches; data sets and runs stay"

# The stamp is written last. An install that was cut short can leave a package that pip takes for complete, so where the
# mark of an unfinished install is found, the environment is made anew; otherwise it is brought up to date in place. One
# without any of these files is somebody's own, and never removed.
$(INSTALLED): setup.py .config/constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer (with venv and pip) was found; install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@if test -e $(UNFINISHED) || { test -e $(INSTALLED) -o -e $(TESTED) && ! $(RUN) -m pip --version >/dev/null 2>&1; }; then rm -rf $(VENV); fi
	@rm -f $(INSTALLED) $(TESTED)
	@test -e $(VENV) || { mkdir -p $(VENV) && touch $(UNFINISHED) && $(PYTHON) -m venv $(VENV); }
	@$(RUN) -m pip --version >/dev/null 2>&1 || { echo "error: $(VENV) has no pip, so that nothing can be installed into it; remove it, or name another folder: make VENV=.venv-make" >&2; exit 1; }
	@touch $(UNFINISHED)
	@echo "Installing into $(VENV); the first time this takes a few minutes."
	$(INSTALL) -e '.[envs,data,plot,tensorboard]'
	@rm -f $(UNFINISHED) && touch $(INSTALLED)

$(TESTED): $(INSTALLED)
	@rm -f $(INSTALLED) && touch $(UNFINISHED)
	$(INSTALL) -e '.[all,test]'
	@rm -f $(UNFINISHED) && touch $(INSTALLED) && touch $(TESTED)

demo: $(INSTALLED)
	$(RUN) experiments/demo.py

# PyTorch is there for the comparison alone. Where it cannot be installed, the ratios are not measured, and the tests of
# the comparison are skipped.
$(TORCH): $(INSTALLED)
	@$(RUN) -c 'import torch' 2>/dev/null && touch $(TORCH) || { \
	mv $(INSTALLED) $(UNFINISHED); \
	$(INSTALL) -e '.[bench,export]' && touch $(TORCH) || \
	echo "PyTorch could not be installed: nothing will be compared with it" >&2; \
	mv $(UNFINISHED) $(INSTALLED); }

# JAX's compiler for CUDA, which needs no GPU: the tests compile for one. It lies beside the environment, for in it JAX
# would look for a GPU at every start. Where it cannot be installed, those tests are skipped.
$(CUDA)/.installed: .config/constraints.txt | $(INSTALLED)
	@rm -rf $(CUDA).unfinished
	$(INSTALL) --no-deps --target $(CUDA).unfinished jax-cuda13-plugin jax-cuda13-pjrt nvidia-cuda-nvcc nvidia-nvvm \
	&& touch $(CUDA).unfinished/.installed && rm -rf $(CUDA) && mv $(CUDA).unfinished $(CUDA) || \
	echo "JAX's compiler for CUDA could not be installed: the tests that compile for a GPU need it" >&2

bench: $(TORCH)
	$(RUN) experiments/benchmark.py

tables: $(TESTED)
	$(RUN) experiments/tables.py --table=all --out=experiments/results/tables --write_readme

# As root it fills a small disk, too.
soak: $(TESTED)
	$(RUN) tests/faults/soak.py

# Two processes: JAX uses more than one thread in each.
PYTEST := $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: lint $(TESTED)
	$(PYTEST) -m "not slow"

# PyTorch is there for the peers of the benchmark.
test-slow: $(TESTED) $(TORCH) $(CUDA)/.installed
	$(PYTEST) -m slow

lint: $(TESTED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
