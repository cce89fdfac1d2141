# make demo [TEXT="A string to reverse"]   watch a network learn to use a stack
# make test                                run all checks
# make docs                                build the site in build/docs
# make bench                               measure the speed of the kernels: writes tables and a plot
# make gpu                                 test the kernels on this machine's GPU, then time them
# make test-oldest                         run the core tests with the oldest dependencies: downloads gigabytes
# make test-transformers                   test a memory layer in models of Hugging Face: downloads 50 megabytes
# make release                             build and check the distributions in dist; uploads nothing
# make clean                               remove the environment, build files and runs
# Each creates an environment in .venv. They need only python3 (3.11 or newer) with pip and venv.

PYTHON ?= python3
BIN := .venv/bin
CORE := $(wildcard tests/test_ops_*.py tests/test_rnn*.py) $(addprefix tests/test_, $(addsuffix .py, controller \
	controller_checkpoint controller_figures discrete equations fused kinds_of_tasks laws memory_layer pretrained signals \
	state strength structure superposition tasks_curriculum tasks_settings tasks_stream tasks_text tasks_transduction \
	torch_compile torch_export))
export TEXT

.PHONY: demo test test-oldest test-transformers bench gpu docs lint kernels-float32 kernels-float64 wheel release browser
.PHONY: clean

# Two at once; the output of each is printed as a whole, where make can do that.
TOGETHER := $(MAKE) -j 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync)

demo: .venv/runtime
	@$(BIN)/python -m examples.demo

test: .venv/docs
	+$(TOGETHER) kernels-float32 lint kernels-float64 wheel docs browser
	$(BIN)/python -m pytest -q -n 2

bench: .venv/dev
	$(BIN)/python -m pip -q install -e ".[plot]" stack-attention-pytorch==0.0.12
	$(BIN)/python -m benchmarks.kernels

# With the python at hand, whose torch knows the card, if it has what this needs; PYTHON=.venv/bin/python for ours.
gpu:
	@$(PYTHON) -m benchmarks.gpu

# Every dependency at its lower bound in pyproject.toml.
test-oldest:
	rm -rf build/oldest && mkdir -p build
	$(PYTHON) -m venv build/oldest
	build/oldest/bin/python -c 'import re, tomllib; \
		project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		wanted = project["dependencies"] + project["optional-dependencies"]["testing"]; \
		print(*(re.sub(">=([^,;]*)[^;]*", r"==\1", each) for each in wanted), sep="\n")' > build/oldest/requirements.txt
	build/oldest/bin/python -m pip -q install -r build/oldest/requirements.txt
	build/oldest/bin/python -m pip -q install --no-deps -e .
	build/oldest/bin/python -m pytest -q $(CORE)

# The library is large, and so no part of `make test`, which skips these tests where it is not installed.
test-transformers: .venv/dev
	$(BIN)/python -m pip -q install "transformers>=5.24,<6"
	$(BIN)/python -m pytest -q tests/test_transformers.py

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

# Compiles the kernels of networks, which the processes of the tests would otherwise compile each for itself.
kernels-float32 kernels-float64: kernels-%: .venv/dev
	$(BIN)/python -m ddstructs.nn warm --dtypes $*

# Installs the wheel in a clean environment, and runs it outside the source tree.
wheel: .venv/dev
	rm -rf build/wheel build/clean && mkdir -p build/clean
	$(BIN)/python -m pip -q wheel --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON) -m venv build/clean/env
	build/clean/env/bin/python -m pip -q install torch==2.13.0
	build/clean/env/bin/python -m pip -q install build/wheel/*.whl
	cd build/clean && env/bin/ddstructs list
	cd build/clean && env/bin/python -c "from ddstructs import *; from torch import ones as one; \
		trace(Stack(1), Action(one(1, 2, 1), one(1, 2, 1), one(1, 2, 1, 1))).save_html('trace.html')"
	cd build/clean && env/bin/ddstructs fit --data Reversal --data.eval_size 2 --model.memory Stack \
		--trainer.max_steps 1 --trainer.limit_val_batches 1 --trainer.enable_progress_bar false

# Runs the notebooks, and takes every warning for an error. One thread for each of the processes.
docs: .venv/docs
	rm -rf build/docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -j auto -d build/doctrees docs build/docs
	@echo "The site is in build/docs/index.html."

# Builds the sdist and the wheel, checks them, and installs the wheel beside torch alone. Uploads nothing.
release: .venv/dev
	rm -rf dist build/release && mkdir -p build/release
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/release/env
	build/release/env/bin/python -m pip -q install torch==2.13.0
	build/release/env/bin/python -m pip -q install dist/*.whl
	cd build/release && env/bin/ddstructs list

# The browser in which the page of a trace is tested. Installed if it is missing and no password is needed.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then sudo=; else sudo="sudo -n"; fi; \
		echo "Installing Chromium for the tests of the trace page."; \
		$$sudo apt-get -qq update && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install chromium chromium-driver >/dev/null; \
	} || echo "WARNING: Chromium is missing and cannot be installed, so the trace page is not tested in a browser." >&2

.venv/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("ddstructs needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + ": use make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/runtime: .venv/python pyproject.toml
	@echo "Installing torch and the other dependencies into .venv. This takes some minutes, once."
	$(BIN)/python -m pip -q install torch==2.13.0
	$(BIN)/python -m pip -q install -e .
	touch $@

.venv/dev: .venv/runtime
	$(BIN)/python -m pip -q install -e ".[dev]"
	touch $@

.venv/docs: .venv/dev
	$(BIN)/python -m pip -q install -e ".[docs]"
	touch $@

clean:
	rm -rf .venv build dist runs *.egg-info
