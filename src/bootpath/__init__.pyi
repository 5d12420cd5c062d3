from bootpath.block.leaves.open import open_device as open_device
from bootpath.block.table.stack import open_table as open_table
from bootpath.boot.inspection.inspect import inspect_disk as inspect_disk
from bootpath.boot.linux.load import load_linux as load_linux
from bootpath.boot.redox.planning import plan_boot as plan_boot
from bootpath.boot.redox.simulation import simulate as simulate
from bootpath.core.device import Device as Device
from bootpath.core.errors import Error as Error
from bootpath.fs.readers.open import open_files as open_files
from bootpath.image.redox.build import build_live as build_live
from bootpath.serve.export import Export as Export
from bootpath.serve.server.server import Server as Server

__version__: str
