"""What every boot in a virtual machine shares: the watched run, its helpers, and boots by the disk's own firmware."""
