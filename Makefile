# Every target sets up what it needs; the first run of any of them installs the environment into .venv.

.DEFAULT_GOAL := help
.PHONY: help setup demo acceptance commission drill test test-networks test-others test-all lint export configs schema dashboard serve stop bench bench-gate bench-vlm perf clean lock

# The first Python of a supported version on the PATH; say PYTHON=... to choose another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
INSTALLED := .venv/installed
PROFILE ?= cpu
WEIGHTS ?= auto

# What a shell may have set for other programs must not reach ours: a foreign library path breaks Triton, and without
# byte code every command compiles its libraries again.
unexport LD_LIBRARY_PATH LD_PRELOAD PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Install the environment into .venv (hashes checked).

$(INSTALLED): requirements.lock requirements-uv.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "venv is missing: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	$(BIN)/uv --system-certs pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	$(BIN)/uv --system-certs pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: export ## Analyse the demo clip and hold the results against what is true.
	$(BIN)/reelscope analyze tests/demo/clip.mp4 -o out/demo --profile $(PROFILE)
	$(BIN)/reelscope check out/demo/results.json
	$(BIN)/python tests/demo/compare.py out/demo/results.json

acceptance: $(if $(URL),setup,export) ## Accept PROFILE or not: 24 analyzers, three runs (URL: your own server).
	$(BIN)/python -m benchmarks.acceptance --profile $(PROFILE) $(if $(URL),--url $(URL))

commission: $(if $(URL),setup,export) ## Fit for production, or not: parity, memory, times, a roll, acceptance (PROFILE, URL).
	$(BIN)/python -m benchmarks.commission --profile $(PROFILE) $(if $(URL),--url $(URL))

drill: export ## Back up, restore into out/drill, and accept PROFILE from what was restored.
	rm -rf out/drill out/drill.tar
	mkdir -p out
	$(BIN)/reelscope backup out/drill.tar
	$(BIN)/reelscope restore out/drill.tar out/drill
	REELSCOPE_STATE=$(CURDIR)/out/drill/state REELSCOPE_REPOSITORY=$(CURDIR)/out/drill/model_repository \
		$(BIN)/python -m benchmarks.acceptance --profile $(PROFILE)

test: setup ## Run the tests, two halves at once (exports with random weights once, then keeps them).
	@$(MAKE) --no-print-directory --jobs=2 --output-sync --keep-going test-networks test-others

# What asks the real networks, on one server, and what needs none: each is at work half of the time. `+` shows what the
# others print while they run; the networks' tests tell all when they have ended.
NETWORKS := tests/integration tests/benchmarks
OTHERS := tests/client tests/export tests/server

test-networks: setup
	$(BIN)/pytest -m "not slow" $(OTHERS:%=--ignore=%)

test-others: setup
	+$(BIN)/pytest -m "not slow" $(NETWORKS:%=--ignore=%)

test-all: setup ## Run the slow tests as well (FP16 and the larger variants).
	$(BIN)/pytest

lint: setup ## Check style and types, and that generated files are current.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m reelscope_export.configs --check
	$(BIN)/python -m reelscope.reference --check
	$(BIN)/hadolint server/triton/Dockerfile server/gateway/Dockerfile
	$(BIN)/shellcheck server/make-secrets.sh
	$(BIN)/docker-compose -f server/compose.yaml config --quiet
	$(BIN)/docker-compose -f server/compose.yaml -f server/compose.tls.yaml config --quiet
	$(BIN)/python server/monitoring/dashboard.py --check
	$(BIN)/python -m benchmarks.figures --check

export: setup ## Build the models of PROFILE (default: cpu) with WEIGHTS (auto, trained, random).
	$(BIN)/reelscope-export --all --profile $(PROFILE) --weights $(WEIGHTS)

configs: setup ## Write every config.pbtxt from server/profiles.toml and the models' contracts.
	$(BIN)/python -m reelscope_export.configs

schema: setup ## Write the JSON Schemas of results and annotations, the page on results, the README's table of analyzers.
	$(BIN)/python -m reelscope.reference
	$(BIN)/reelscope schema truth > docs/truth.schema.json

dashboard: setup ## Write the Grafana dashboard.
	$(BIN)/python server/monitoring/dashboard.py

serve: export ## Start the local Triton and leave it running.
	$(BIN)/reelscope server up --profile $(PROFILE)

stop: setup ## Stop the local Triton.
	$(BIN)/reelscope server down

bench: export ## Measure everything that PROFILE can here, and write the README's figures (two hours on 2 cores).
	$(BIN)/python -m benchmarks.end_to_end --profile $(PROFILE) --device $(if $(filter cpu,$(PROFILE)),cpu,cuda:0)
	$(BIN)/python -m benchmarks.throughput --profile $(PROFILE)
	-$(BIN)/python -m benchmarks.served_vs_raw --profile $(PROFILE)
	$(BIN)/python -m benchmarks.roofline --profile $(PROFILE)
ifeq ($(PROFILE),cpu)
	-$(BIN)/python -m benchmarks.transport
	-$(BIN)/python -m benchmarks.hearing
	-$(BIN)/python -m benchmarks.speech
	-$(BIN)/python -m benchmarks.memory
	-$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.page
endif
	$(BIN)/python -m benchmarks.figures
	-$(BIN)/python -m benchmarks.targets

bench-gate: export ## Hold quick ratios to the recorded ones: fails when something became slower (ten minutes).
	$(BIN)/python -m benchmarks.gate

bench-vlm: setup ## Measure the vision-language model alone (VLM="--profile h200 --device cuda:0" on a GPU).
	$(BIN)/python -m benchmarks.vlm $(VLM)

perf: export ## Measure every model and ensemble with NVIDIA's perf_analyzer (its wheel is downloaded; nine minutes).
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-perf.lock -d out/perf
	$(BIN)/python -m benchmarks.perf --profile $(PROFILE)

lock: setup ## Resolve the dependencies again.
	$(BIN)/uv --system-certs pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header pyproject.toml requirements.in --extra server --extra gateway --extra otel --extra vlm --extra export --extra dev -o requirements.lock

clean: ## Remove everything that was built or installed.
	-test -x $(BIN)/reelscope && $(BIN)/reelscope server down
	rm -rf .venv out dist .mypy_cache .pytest_cache .ruff_cache
	find model_repository -name '*.onnx' -delete -o -name '*.safetensors' -delete
