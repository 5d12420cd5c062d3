"""Definition files of systemd-repart: `unitfile` has the lines, `values` their types, `definition` the meaning."""
