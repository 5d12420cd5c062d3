# Two commands on a fresh machine: `make demo` and `make test`. Everything lands in .venv and build/.
PYTHON ?= python3
CARGO ?= cargo
VENV := .venv
BIN := $(VENV)/bin
BUILD := build
UPSTREAM := $(BUILD)/upstream
REDOXFS_VERSION := 0.9.1

INSTALLED := $(VENV)/.installed
NATIVE_SOURCES := $(wildcard native/src/*.rs) native/Cargo.toml native/Cargo.lock
GUEST := $(BUILD)/guest
GUEST_ARM64 := $(BUILD)/guest-arm64
SMALL_KERNEL := $(BUILD)/smallkernel
UPSTREAM_TOOLS := $(UPSTREAM)/bin/redoxfs

export BOOTPATH_UPSTREAM := $(CURDIR)/$(UPSTREAM)/bin
export BOOTPATH_GUEST := $(CURDIR)/$(GUEST)/root

.PHONY: help setup tools full-tools guest demo test test-full test-vm-quick bench fuzz soak docs lint format clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

setup: $(INSTALLED) ## make .venv with bootpath and the development tools

$(INSTALLED): pyproject.toml $(NATIVE_SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'bootpath needs Python 3.11 or newer: set PYTHON=' >&2; exit 1; }
	@command -v $(CARGO) >/dev/null || { echo 'bootpath needs Rust (cargo) to build its native module: https://rustup.rs' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

tools: $(UPSTREAM_TOOLS) ## install what the tests compare with (apt when root, cargo) and what their guests are made of
	@tests/support/install_tools.sh
	@$(MAKE) --no-print-directory guest || echo 'no guest files, the tests of guests will be skipped' >&2

guest: $(GUEST)/.stamp ## download and unpack, not install, a kernel and the programs of test guests (apt, any user)

$(GUEST)/.stamp: tests/support/guest_files.sh
	tests/support/guest_files.sh $(GUEST)

full-tools: tools ## what only the full tests need: guest files of another machine, and a kernel without modules (some minutes)
	@tests/support/install_tools.sh full
	@$(MAKE) --no-print-directory $(GUEST_ARM64)/.stamp || echo 'no guest files for arm64, the tests of such guests will be skipped' >&2
	@$(MAKE) --no-print-directory $(SMALL_KERNEL)/.stamp || echo 'no small kernel, its tests will be skipped' >&2

$(GUEST_ARM64)/.stamp: tests/support/guest_files.sh
	tests/support/guest_files.sh $(GUEST_ARM64) arm64

$(SMALL_KERNEL)/.stamp: tests/support/small_kernel.sh tests/support/small_kernel.config
	tests/support/small_kernel.sh $(SMALL_KERNEL)

$(UPSTREAM_TOOLS):
	$(CARGO) install --quiet --locked --root $(UPSTREAM) --version $(REDOXFS_VERSION) redoxfs

$(BUILD)/demo/big.img: demo/tree.py | $(INSTALLED)
	mkdir -p $(@D)
	rm -rf $(@D)/tree
	$(BIN)/python -m demo.tree $(@D)/tree --data 3GiB
	$(BIN)/bootpath build live $(@D)/tree -o $@ --size 4093MiB

$(BUILD)/demo/mini.img: demo/tree.py | $(INSTALLED)
	mkdir -p $(@D)
	rm -rf $(@D)/minitree
	$(BIN)/python -m demo.tree $(@D)/minitree --data 640MiB
	$(BIN)/bootpath build live $(@D)/minitree -o $@ --size 1533MiB

# A Debian with a greeter: by our loader from the RedoxFS, or by its own from the EFI partition (see docs/howto/debian-root.md).
DEBIAN := $(BUILD)/debian
EFI_STUB ?= /usr/lib/systemd/boot/efi/linuxx64.efi.stub
DEBIAN_PARTS := $(wildcard demo/debian/*.sh) $(shell find demo/debian/root -type f)
# With it, 3 GiB of the file system are in use.
DEBIAN_DATA ?= 1088MiB

$(DEBIAN)/.stamp: demo/debian.sh $(DEBIAN_PARTS) demo/data.py | $(INSTALLED) tools
	demo/debian.sh $(DEBIAN)/tree
	$(BIN)/python -m demo.data $(DEBIAN)/tree/srv/data --data $(DEBIAN_DATA)
	touch $@

$(BUILD)/demo/debian.img: $(DEBIAN)/.stamp $(wildcard src/bootpath/boot/guest/*.py) | $(INSTALLED)
	mkdir -p $(@D)
	demo/debian/image.sh $(DEBIAN)/tree $(DEBIAN) $@ 4093MiB $(EFI_STUB)

$(BUILD)/demo/ddi.img: demo/verified.sh | $(INSTALLED) tools
	mkdir -p $(@D)
	demo/verified.sh $@ $(GUEST)/root

demo: $(INSTALLED) $(BUILD)/demo/big.img ## build a 4093 MiB live image, show why it did not boot, and boot it
	demo/run.sh $(BUILD)/demo

# Tests run in an order that SEED chooses. Files of tests run side by side, as many as there are processors, and not more
# than four: a machine of the tests wants one of its own. Which file meets which is a matter of time; for exactly the
# same order again, add WORKERS=0.
WORKERS ?= auto
ifndef SEED
SEED := $(shell shuf -i 1-999999 -n 1)
endif
PYTEST = @echo "tests in the order of SEED=$(SEED)"; \
	BOOTPATH_DEMO=$(CURDIR)/$(BUILD)/demo $(BIN)/python -m pytest --dist=loadfile \
		--numprocesses=$(WORKERS) --maxprocesses=4 --random-order --random-order-seed=$(SEED)

test: $(INSTALLED) tools $(BUILD)/demo/big.img $(BUILD)/demo/mini.img ## everything: style, types, layers, all tests in random order
	$(MAKE) --no-print-directory lint
	$(PYTEST)

test-full: $(INSTALLED) full-tools $(BUILD)/demo/big.img $(BUILD)/demo/mini.img $(BUILD)/demo/debian.img ## all that and what takes minutes or root: a big Debian to its greeter, the docs' long commands
	$(MAKE) --no-print-directory lint
	$(PYTEST) -m ''

test-vm-quick: $(INSTALLED) tools ## boot small live images in QEMU: the part of the tests that needs a machine
	$(BIN)/python -m pytest -m live_boot tests/vm

bench: $(INSTALLED) tools $(BUILD)/demo/big.img $(BUILD)/demo/mini.img ## measure beside the peers, print ratios, write docs/benchmarks.md
	$(BIN)/python -m bench.run --demo $(BUILD)/demo --upstream $(UPSTREAM)/bin --page docs/benchmarks.md
	$(BIN)/python -m bench.serve --page docs/benchmarks.md
	$(BIN)/python -m bench.overlayfile --page docs/benchmarks.md
	$(BIN)/python -m bench.verity --page docs/benchmarks.md
	$(BIN)/python -m bench.machine --big $(BUILD)/demo/debian.img --page docs/benchmarks.md
	$(BIN)/python -m bench.linuxboot --page docs/benchmarks.md

# Seconds for each entry, which ones (tests/fuzz/targets.py), how many at a time, and where they leave what they find.
SECONDS ?= 300
FUZZ ?= --all
FUZZ_JOBS ?= 2
FUZZ_WORK ?= $(or $(TMPDIR),/tmp)/bootpath-fuzz

fuzz: $(INSTALLED) ## fuzz every parser, guided by coverage: SECONDS for each (300, so hours in all), FUZZ="cpio bls" for some
	$(BIN)/python -m tests.fuzz.guided $(FUZZ) --seconds $(SECONDS) --jobs $(FUZZ_JOBS) --work $(FUZZ_WORK)

soak: $(INSTALLED) ## ten minutes of clients that verify, a flapping disk and a hostile client
	$(BIN)/python -m bench.soak --minutes 10

docs: $(INSTALLED) ## rewrite the command reference from the parser
	$(BIN)/python docs/generate.py

lint: $(INSTALLED) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## let ruff rewrite the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what make made
	rm -rf $(VENV) $(BUILD) native/target src/bootpath/*.so
