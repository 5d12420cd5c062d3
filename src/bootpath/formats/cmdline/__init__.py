"""The kernel command line, for whoever writes one and whoever reads one.

Read `parameters` first (split, quote, join and measure), then `devices` (how a parameter names a device), `root` (the
parameters that name the root, parsed and packed), `address` (where a root is), `appendroot` (the parameters for an
address) and `networkroot` (those for a root that is on no disk).
"""
