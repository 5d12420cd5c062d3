"""Device-mapper tables: `table` has the lines, `targets` which grammar is whose, the others a grammar each."""
