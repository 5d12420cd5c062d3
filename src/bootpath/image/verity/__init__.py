"""dm-verity volumes: computing their hash tree and parity, and formatting and opening them."""
