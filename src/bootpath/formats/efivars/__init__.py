"""EFI variables outside of a machine: `variable` is one of them, `edk2` and `jsonstore` are how they are stored."""
