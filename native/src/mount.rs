//! FUSE, by the crate's own mount.
//!
//! It consumes the file system, serves until the kernel says the mount is gone, and then cleans up, which writes. There
//! is no read-only mount: reading through it updates access times.

use std::path::{Path, PathBuf};

use libc::EIO;
use pyo3::prelude::*;
use syscall::error::Error;

use crate::failure::Failure;
use crate::state::{settle, Fs, UNLIMITED};
use crate::watch::Watcher;

/// Mount `fs` and serve it without the GIL; `ready` is called once the mount is there.
///
/// When `ready` raises, the mount is taken away again and the exception goes to the caller.
pub fn serve(py: Python<'_>, fs: Fs, watcher: &Watcher, mountpoint: PathBuf, ready: Py<PyAny>) -> Result<(), Failure> {
    py.detach(|| {
        let mut refused = None;
        let outcome = settle(watcher, UNLIMITED, || {
            watcher.serve();
            let mounted = redoxfs::mount(fs, &mountpoint, |path| {
                let called = Python::attach(|py| ready.call0(py).map(drop));
                if let Err(error) = called {
                    unmount(path);
                    refused = Some(error);
                }
            });
            mounted.map_err(|error| match error.raw_os_error() {
                Some(errno) => Error::new(errno),
                // fusermount's words
                None => watcher.fail(Failure::Host {
                    errno: EIO,
                    what: format!("cannot mount: {}", error.to_string().trim()),
                    path: mountpoint.clone(),
                }),
            })
        });
        match refused {
            Some(error) => Err(Failure::Python(error)),
            None => outcome.map_err(|(failure, _)| failure),
        }
    })
}

fn unmount(path: &Path) {
    if let Some(text) = path.to_str() {
        // The session notices by itself when this worked; when it did not, there is nothing more to do here.
        let _ = redoxfs::unmount_path(text);
    }
}
