"""What is on a disk and whether it boots: `inspect` decides the kind, `live` and `linux` judge, in `values`."""
