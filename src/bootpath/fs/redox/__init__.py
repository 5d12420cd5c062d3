"""RedoxFS through its upstream crate: `redoxfs` reads and writes it, `ring` finds its headers, `mounting` mounts it."""
