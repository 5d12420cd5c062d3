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

.PHONY: help setup demo test bench lint format clean

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

setup: $(INSTALLED) ## make .venv with bootpath and the development tools

$(INSTALLED): pyproject.toml $(NATIVE_SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'bootpath needs Python 3.11 or newer: set PYTHON=' >&2; exit 1; }
	@command -v $(CARGO) >/dev/null || { echo 'bootpath needs Rust (cargo) to build its native module: https://rustup.rs' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
