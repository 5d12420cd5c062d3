"""Device-mapper tables as devices: `stack` opens a table; `resolver` finds the devices that its lines name."""
