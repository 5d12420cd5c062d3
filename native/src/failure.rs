//! How an operation fails, and the Python exception it becomes.
//!
//! Rust code below the boundary returns a [`Failure`]; [`Failure::into_pyerr`] is the only place that makes exceptions.
//! The Python layer turns `CrateError`, `ImageError` and `CratePanic` into the package's own errors, because only it knows
//! the path that was asked for. An exception of a Python device is carried through as the same object.

use libc::{EIO, ENOSPC, EPERM};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::{Path, PathBuf};

use crate::guard::Panic;

create_exception!(
    _native,
    CrateError,
    PyException,
    "The redoxfs crate refused: args are (errno, last block read or None)."
);
create_exception!(
    _native,
    ImageError,
    PyException,
    "The image cannot be what it says: args are (message,)."
);
create_exception!(
    _native,
    CratePanic,
    PyException,
    "The redoxfs crate panicked: args are (message, location). The file system object is unusable afterwards."
);

/// Why an operation failed.
#[derive(Debug)]
pub enum Failure {
    /// A Python device or callback raised: raised again, unchanged.
    Python(PyErr),
    /// A direct device failed: becomes `core.DeviceError`.
    Device { errno: i32, what: String },
    /// The image contradicts itself or its device: becomes `ImageError`.
    Image(String),
    /// The crate answered with an errno; `block` is the last block it read.
    Crate { errno: i32, block: Option<u64> },
    /// The crate panicked, now or in an earlier call.
    Panic(Panic),
    /// The caller did something it must not: becomes `ValueError`.
    Misuse(&'static str),
    /// Something in a host directory cannot be archived: becomes `core.FileSystemError` at that path.
    Host { errno: i32, what: String, path: PathBuf },
    /// A host directory or file cannot be read: becomes the `OSError` of its errno.
    HostIo { error: std::io::Error, path: PathBuf },
}

impl Failure {
    /// A host I/O error at `path`.
    pub fn host_io(path: &Path, error: std::io::Error) -> Self {
        Failure::HostIo {
            error,
            path: path.to_owned(),
        }
    }

    /// What the crate is told: an errno it does not give a meaning of its own.
    pub fn errno(&self) -> i32 {
        let errno = match self {
            Failure::Device { errno, .. } => *errno,
            Failure::Python(error) => Python::attach(|py| {
                let errno = error.value(py).getattr("errno").and_then(|errno| errno.extract());
                errno.unwrap_or(EIO)
            }),
            _ => EIO,
        };
        if matches!(errno, ENOSPC | EPERM) {
            errno
        } else {
            EIO
        }
    }

    /// The exception for Python. `device` names the device in messages.
    pub fn into_pyerr(self, py: Python<'_>, device: &str) -> PyErr {
        match self {
            Failure::Python(error) => error,
            Failure::Device { errno, what } => core_error(py, "DeviceError", &what, errno, device),
            Failure::Image(message) => ImageError::new_err((message,)),
            Failure::Crate { errno, block } => CrateError::new_err((errno, block)),
            Failure::Panic(panic) => CratePanic::new_err((panic.message, panic.location)),
            Failure::Misuse(message) => PyValueError::new_err(message),
            Failure::Host { errno, what, path } => {
                core_error(py, "FileSystemError", &what, errno, &path.to_string_lossy())
            }
            Failure::HostIo { error, path } => match error.raw_os_error() {
                // OSError picks the subclass (FileNotFoundError, PermissionError...) from the errno
                Some(errno) => PyOSError::new_err((errno, strerror(errno), path.into_os_string())),
                None => PyOSError::new_err(format!("{}: {error}", path.display())),
            },
        }
    }
}

/// `bootpath.core.errors.<class>(what, errno=..., where=...)`.
fn core_error(py: Python<'_>, class: &str, what: &str, errno: i32, place: &str) -> PyErr {
    let build = || -> PyResult<Bound<'_, PyAny>> {
        let keywords = PyDict::new(py);
        keywords.set_item("errno", errno)?;
        keywords.set_item("where", place)?;
        py.import("bootpath.core.errors")?
            .getattr(class)?
            .call((what,), Some(&keywords))
    };
    match build() {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// The system's text for an errno.
pub fn strerror(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
