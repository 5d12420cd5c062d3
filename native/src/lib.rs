//! The redoxfs crate bound for bootpath, and two kernels that were measured to be worth it.
//!
//! ```text
//! fs        the Python class: arguments in, values out
//! state     the lock, the GIL, panics and faults: the one way to the crate
//! opening   what is checked before the crate may open an image
//! nodes     operations on nodes                    walk      which blocks things occupy
//! archive   a host directory put in                hosttree  ... walked and read ahead
//! mount     FUSE                                   header    header blocks
//! disk      a bootpath device as the crate's disk  watch     what an operation may do to it
//! guard     panics caught                          failure   what becomes which exception
//! hashing   salted digests of many blocks          parity    Reed-Solomon parity of many codewords
//! span      memory that Python lends              sha256pair  SHA-256 of two blocks at a time
//! ```
//!
//! Nothing here can take the process down: panics are caught, work and memory are bounded by what was asked for and by
//! the size of the device, and every address is checked before it is used. A mount is served by the crate alone: there
//! only addresses are checked and panics caught.

mod archive;
mod disk;
mod failure;
mod fs;
mod guard;
mod hashing;
mod header;
mod hosttree;
mod mount;
mod nodes;
mod opening;
mod parity;
#[cfg(target_arch = "x86_64")]
mod sha256pair;
mod span;
mod state;
mod walk;
mod watch;

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::failure::{CrateError, CratePanic, ImageError};
use crate::header::Fields;

/// The fields of a valid header block of 4096 bytes, None when it is anything else.
#[pyfunction]
fn parse_header(block: &[u8]) -> Option<Fields> {
    header::parse(block)
}

/// Count a host directory, and refuse what could not be archived: bytes, files, directories, symlinks.
#[pyfunction]
fn measure(py: Python<'_>, root: PathBuf) -> PyResult<(u64, u64, u64, u64)> {
    py.detach(|| hosttree::measure(&root))
        .map(|totals| (totals.bytes, totals.files, totals.directories, totals.symlinks))
        .map_err(|failure| failure.into_pyerr(py, ""))
}

/// The native module.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<fs::FileSystem>()?;
    module.add_function(wrap_pyfunction!(parse_header, module)?)?;
    module.add_function(wrap_pyfunction!(measure, module)?)?;
    module.add_function(wrap_pyfunction!(hashing::block_digests, module)?)?;
    module.add_function(wrap_pyfunction!(hashing::fast_digests, module)?)?;
    module.add_function(wrap_pyfunction!(parity::rs_parity, module)?)?;
    module.add("CrateError", module.py().get_type::<CrateError>())?;
    module.add("ImageError", module.py().get_type::<ImageError>())?;
    module.add("CratePanic", module.py().get_type::<CratePanic>())?;
    Ok(())
}
