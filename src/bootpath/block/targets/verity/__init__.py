"""dm-verity: the target (`verity`), its cached hash tree (`hashes`), and repair by FEC (`repair`)."""
