//! One file system, one lock, one way in.
//!
//! The crate's `FileSystem` takes `&mut self` everywhere, so it sits in a mutex. [`Volume::run`] is the only way to it:
//! it lets go of the GIL, takes the lock, runs the operation with panics caught, and turns the outcome into a result.
//! The GIL is never held while waiting for the lock; the lock may be held while waiting for the GIL (a Python device).
//! A device or callback that calls back into the same file system is refused instead of deadlocking.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use syscall::error::Result as CrateResult;

use crate::disk::Adapter;
use crate::failure::Failure;
use crate::guard::{self, Panic};
use crate::watch::Watcher;

/// The crate's file system on one of our devices.
pub type Fs = redoxfs::FileSystem<Adapter>;
/// A transaction on it.
pub type Tx<'a> = redoxfs::Transaction<'a, Adapter>;

/// Reads an operation on names may make: a few tree paths and one way down a directory.
pub const NAME_READS: u64 = 1 << 17;
/// For operations whose work is bounded by what was asked for.
pub const UNLIMITED: u64 = u64::MAX;

enum State {
    Open(Box<Fs>),
    Closed,
    Poisoned(Panic),
}

/// A file system behind its lock.
pub struct Volume {
    state: Mutex<State>,
    owner: AtomicU64,
    watcher: Watcher,
    device: String,
}

/// Resets the owner when the operation ends, however it ends.
struct Owner<'a>(&'a AtomicU64);

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

fn thread_id() -> u64 {
    // SAFETY: pthread_self has no preconditions; its value is unique among running threads and never 0.
    unsafe { libc::pthread_self() as u64 }
}

impl Volume {
    /// A volume around `fs`; `device` names the device in messages.
    pub fn new(fs: Fs, watcher: Watcher, device: String) -> Self {
        Volume {
            state: Mutex::new(State::Open(Box::new(fs))),
            owner: AtomicU64::new(0),
            watcher,
            device,
        }
    }

    /// The watcher of the disk, for code inside a transaction.
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// Run `operation` without the GIL; it may read at most `reads` blocks.
    pub fn run<T: Send>(
        &self,
        py: Python<'_>,
        reads: u64,
        operation: impl FnOnce(&mut Fs) -> CrateResult<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let mut state = self.lock()?;
            let _owner = Owner(&self.owner);
            let fs = match &mut *state {
                State::Open(fs) => fs,
                State::Closed => return Err(Failure::Misuse("file system is closed")),
                State::Poisoned(panic) => return Err(Failure::Panic(panic.clone())),
            };
            match settle(&self.watcher, reads, || operation(fs)) {
                Err((failure, Some(panic))) => {
                    *state = State::Poisoned(Panic {
                        message: format!("unusable since redoxfs failed: {}", panic.message),
                        location: panic.location,
                    });
                    Err(failure)
                }
                Err((failure, None)) => Err(failure),
                Ok(value) => Ok(value),
            }
        })
        .map_err(|failure| failure.into_pyerr(py, &self.device))
    }

    /// Take the file system out; the volume is closed from here on.
    pub fn take(&self, py: Python<'_>) -> PyResult<Box<Fs>> {
        py.detach(|| {
            let mut state = self.lock()?;
            let _owner = Owner(&self.owner);
            match std::mem::replace(&mut *state, State::Closed) {
                State::Open(fs) => Ok(fs),
                State::Closed => Err(Failure::Misuse("file system is closed")),
                State::Poisoned(panic) => Err(Failure::Panic(panic)),
            }
        })
        .map_err(|failure| failure.into_pyerr(py, &self.device))
    }

    /// Close: lets go of the device. Twice is harmless.
    pub fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let mut state = self.lock()?;
            let _owner = Owner(&self.owner);
            *state = State::Closed;
            Ok(())
        })
        .map_err(|failure: Failure| failure.into_pyerr(py, &self.device))
    }

    /// The name of the device.
    pub fn device(&self) -> &str {
        &self.device
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, Failure> {
        let me = thread_id();
        if self.owner.load(Ordering::Acquire) == me {
            return Err(Failure::Misuse(
                "a device or callback of a file system must not use it itself",
            ));
        }
        let guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.owner.store(me, Ordering::Release);
        Ok(guard)
    }
}

/// Run a crate operation and say how it ended; a panic comes beside the failure to report.
///
/// The device's fault wins over whatever the crate made of it.
pub fn settle<T>(
    watcher: &Watcher,
    reads: u64,
    operation: impl FnOnce() -> CrateResult<T>,
) -> Result<T, (Failure, Option<Panic>)> {
    watcher.begin(reads);
    let outcome = guard::catch(operation);
    let fault = watcher.take_fault(matches!(outcome, Ok(Ok(_))));
    match (outcome, fault) {
        (Err(panic), fault) => Err((fault.unwrap_or_else(|| Failure::Panic(panic.clone())), Some(panic))),
        (Ok(_), Some(fault)) => Err((fault, None)),
        (Ok(Ok(value)), None) => Ok(value),
        (Ok(Err(error)), None) => Err((
            Failure::Crate {
                errno: error.errno,
                block: watcher.last_read(),
            },
            None,
        )),
    }
}
