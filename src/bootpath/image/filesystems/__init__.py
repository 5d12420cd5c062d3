"""File systems made from a tree of files: `make` calls the programs; FAT is written by `fatwriter` itself."""
