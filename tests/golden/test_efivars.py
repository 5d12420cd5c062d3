"""Variable stores of virt-firmware: the EDK2 one and the JSON hold the same, and what was put into them."""

from __future__ import annotations

import gzip
from pathlib import Path

from bootpath.formats.efivars.edk2 import parse_edk2_store
from bootpath.formats.efivars.jsonstore import parse_json_store
from bootpath.formats.efivars.store import parse_variable_store
from bootpath.formats.systemdboot.loadervariables import LoaderVariables, loader_variables

HERE = Path(__file__).parent / "efivars"
STORE, TEXT = gzip.decompress((HERE / "store.fd.gz").read_bytes()), (HERE / "store.json").read_bytes()


def test_both_stores_hold_the_same_variables() -> None:
    variables = parse_edk2_store(STORE)
    assert set(variables) == set(parse_json_store(TEXT))
    assert len(variables) == 7
    assert parse_variable_store(STORE) == variables
    assert set(parse_variable_store(TEXT)) == set(variables)


def test_what_they_say_to_systemd_boot() -> None:
    assert loader_variables(parse_variable_store(STORE)) == LoaderVariables(
        one_shot="rescue.conf", default="fedora-*.conf", last_booted="fedora-6.9.conf", timeout=7
    )
