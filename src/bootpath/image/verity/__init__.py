"""dm-verity volumes: computing their hash tree and FEC, and formatting and opening them."""
