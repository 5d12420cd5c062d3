"""UBI volumes on raw flash: `headers` of an eraseblock, the volume `table`, and `attach`, which joins them."""
