"""The boot entries of a disk: which `bootvolumes` may hold some, `read` reads one volume, `find` all of them."""
