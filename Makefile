# Commands for developers. `make check` is exactly what CI runs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
NATIVE_BUILD = build/native
HYPOTHESIS_PROFILE ?= ci

FUZZ_RUNS ?= 20000
FUZZ_SECONDS ?= 4

.PHONY: help setup build try test native sanitize fuzz cross-aarch64 lint format models-verify soak check clean

help:            ## list the commands
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(BIN)/safelight: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev,tflite]'
	@touch $@

setup: $(BIN)/safelight  ## make the virtual environment with everything developers need

build: setup     ## rebuild the native modules (after editing native/, models/ or deterrence/)
	$(BIN)/pip install --quiet -e '.[dev,tflite]'

try: setup       ## look at the picture that ships and decide for a ten-year-old
	$(BIN)/safelight check examples/pictures/portrait.jpg --age-band 10_12 --country GB

test: setup native  ## all tests, native and Python (HYPOTHESIS_PROFILE=soak for the full counts)
	HYPOTHESIS_PROFILE=$(HYPOTHESIS_PROFILE) $(BIN)/pytest -W error -n auto

native: setup    ## native tests: C++, and the C face
	PATH="$(abspath $(BIN)):$$PATH" cmake -S native -B $(NATIVE_BUILD) -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo
	PATH="$(abspath $(BIN)):$$PATH" cmake --build $(NATIVE_BUILD)
	PATH="$(abspath $(BIN)):$$PATH" ctest --test-dir $(NATIVE_BUILD) --output-on-failure

fuzz: setup      ## every fuzz target, FUZZ_RUNS rounds or FUZZ_SECONDS each, whichever ends first
	PATH="$(abspath $(BIN)):$$PATH" FUZZ_RUNS=$(FUZZ_RUNS) FUZZ_SECONDS=$(FUZZ_SECONDS) bash .ci/fuzz

sanitize: setup  ## native tests under AddressSanitizer and UndefinedBehaviorSanitizer
	PATH="$(abspath $(BIN)):$$PATH" cmake -S native -B build/sanitize -G Ninja -DSAFELIGHT_SANITIZE=ON
	PATH="$(abspath $(BIN)):$$PATH" cmake --build build/sanitize
	PATH="$(abspath $(BIN)):$$PATH" ctest --test-dir build/sanitize --output-on-failure

cross-aarch64: setup  ## build the native tests and the C face for aarch64 and run them under emulation
	PATH="$(abspath $(BIN)):$$PATH" bash .ci/cross-aarch64

lint: native     ## ruff, mypy, layers, clang-format, clang-tidy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.h' '*.c')
	$(BIN)/clang-tidy --quiet -p $(NATIVE_BUILD) $$(git ls-files 'native/src/*.cpp' 'bindings/c/src/*.cpp')

format: setup    ## format Python and C++
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files '*.cpp' '*.h' '*.c')

models-verify: setup  ## verify every model in every installed runtime
	$(BIN)/safelight models verify

soak: setup      ## full test counts; writes a log with the commit under docs/soak/
	bash .ci/soak

check:           ## exactly what CI runs
	bash .ci/run

clean:           ## remove everything that was built
	rm -rf build dist $(VENV) sdk/*.egg-info sdk/safelight/*.so
