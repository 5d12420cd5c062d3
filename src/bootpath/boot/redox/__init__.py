"""A live boot of a RedoxFS: `planning`, `loader`, the handoff, `lived`, `rootfs`; simulated, or in a machine."""
