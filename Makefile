# polycosm. `make` lists the targets. NP: MPI ranks; JOBS: compilers at a time; PREFIX: where `make install` puts the program.
NP     ?= 2
PREFIX ?= $(HOME)/.local
# A compiler of this code takes up to 2 GB.
JOBS   ?= $(shell free -g 2>/dev/null | awk -v cores=$$(nproc) '/^Mem/ { n = int($$7 / 2) } END { if (n < 1) n = 1; print (n < cores ? n : cores) }')

MPIRUN ?= mpirun
RUN     = $(MPIRUN) $(shell $(MPIRUN) --version 2>/dev/null | grep -q 'Open MPI' && echo --oversubscribe) -n $(NP)
PROGRAM = target/release/polycosm
export CARGO_BUILD_JOBS = $(JOBS)
ifeq ($(shell id -u),0)
export OMPI_ALLOW_RUN_AS_ROOT = 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
endif

.DEFAULT_GOAL := help
.PHONY: help setup setup-sim build demo test fuzz bench validate figures reference lint docs sim install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing (quick when nothing is)
	@scripts/setup.sh

setup-sim:
	@scripts/setup.sh --no-torch

build: setup ## the program, in target/release
	cargo build --release

demo: build ## from nothing to a calibrated posterior and a report, in minutes
	$(RUN) $(PROGRAM) run recipes/demo.toml
	@echo "the report: $(CURDIR)/runs/demo/report/index.html"

test: setup ## all tests
	-@scripts/setup.sh --python
	cargo test --release --workspace

# FIRST, CASES and COMMANDS choose others.
fuzz: setup ## ten thousand inputs that nobody means, and two hundred runs of the command on such
	cargo test --release --test fuzz -- --ignored --nocapture

bench: build ## the kernels' speed on NP ranks
	@for kernel in fft pm train; do $(RUN) $(PROGRAM) bench $$kernel || exit; done

# The tests that measure what docs/validation.md draws, the long ones among them.
CHECKS = cosmology easy flat gravity lognormal_box perturbation pytorch sphere statistics validation

validate: setup ## the long checks against published numbers, with their figures (docs/validation.md)
	cargo test --release $(CHECKS:%=--test %) -- --include-ignored --nocapture --test-threads=1
	@$(MAKE) --no-print-directory figures

figures: setup ## docs/images/validation-*.png, from what the tests left in target/validation
	cargo test --release --test figures -- --ignored --nocapture

reference: setup ## the tables of docs/campaign.md, from the comments of the sections in src
	POLYCOSM_WRITE=1 cargo test --release --test schema tables

lint: setup ## formatting and clippy, warnings are errors
	cargo fmt --check
	cargo clippy --release --workspace --all-targets -- -D warnings

docs: setup ## the library's documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --workspace
	@echo "the documentation: $(CURDIR)/target/doc/polycosm/index.html"

sim: setup-sim ## the program without libtorch: it simulates and calibrates
	cargo build --release --no-default-features --target-dir target/sim
	@echo $(CURDIR)/target/sim/release/polycosm

install: build ## copy the program to PREFIX/bin
	install -D $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/polycosm

clean: ## remove what was built, not what was computed
	cargo clean
