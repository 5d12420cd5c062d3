"""Partition tables, and what partitions are by their type: GPT, MBR, discoverable partitions, image policies."""
