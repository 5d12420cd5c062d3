"""The live disk of a boot: `preload` in RAM, the physical disk that may come `late`, and both as one `disk`."""
