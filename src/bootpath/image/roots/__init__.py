"""Which root is booted: `pairing` with verity, `candidates`, the `choice` among them, and its device-mapper `table`."""
