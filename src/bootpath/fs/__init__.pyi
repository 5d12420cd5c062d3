from bootpath.fs.readers.files import Files as Files
from bootpath.fs.readers.open import open_files as open_files
from bootpath.fs.redox.mounting import Mount as Mount
from bootpath.fs.redox.redoxfs import RedoxFS as RedoxFS
from bootpath.fs.redox.ring import probe_redoxfs as probe_redoxfs
from bootpath.fs.redox.ring import scan_ring as scan_ring
