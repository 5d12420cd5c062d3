"""What systemd-boot is told beside its entries: loader.conf, its EFI variables, and the patterns that name entries."""
