"""The command line: it parses and prints, and decides nothing. `main` comes first, then `boot.options`."""
