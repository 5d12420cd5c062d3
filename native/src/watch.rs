//! What is watched while an operation runs: faults of the device, how much is read, and what was read already.
//!
//! Faults are sticky: after one, every read and write of the same operation fails, so that an error the crate chooses to
//! ignore cannot end in a commit. The first fault is what the caller gets. A mount is different: it is many requests of
//! other programs, each with its own errno.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libc::EIO;
use syscall::error::{Error, Result};

use crate::failure::Failure;

/// What is watched during one operation; shared with the code inside a transaction, which cannot reach the disk.
#[derive(Default)]
struct Watch {
    fault: Option<Failure>,
    reads_left: u64,
    visited: Option<HashSet<u64>>,
    last_read: Option<u64>,
    serving: bool,
}

/// Handle to the [`Watch`] of a file system.
#[derive(Clone, Default)]
pub struct Watcher(Arc<Mutex<Watch>>);

impl Watcher {
    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Start an operation that may read `reads` times.
    pub fn begin(&self, reads: u64) {
        *self.lock() = Watch {
            reads_left: reads,
            ..Watch::default()
        };
    }

    /// Allow `reads` more reads from here.
    pub fn allow(&self, reads: u64) {
        self.lock().reads_left = reads;
    }

    /// From here on no block may be read twice: a structure that is walked once each and has no shared parts.
    pub fn visit_once(&self) {
        self.lock().visited = Some(HashSet::new());
    }

    /// The blocks read since [`Watcher::visit_once`], which ends.
    pub fn take_visited(&self) -> HashSet<u64> {
        self.lock().visited.take().unwrap_or_default()
    }

    /// From here on this operation is a mount: one of many requests may fail without ending the others.
    pub fn serve(&self) {
        self.lock().serving = true;
    }

    /// Make the running operation fail: the errno is for the crate, and for a program on the other side of a mount.
    pub fn fail(&self, failure: Failure) -> Error {
        let errno = failure.errno();
        let mut watch = self.lock();
        if watch.serving {
            watch.fault = Some(failure);
        } else {
            watch.fault.get_or_insert(failure);
        }
        Error::new(errno)
    }

    /// The first fault, once; for a mount that `ended_well`, none.
    pub fn take_fault(&self, ended_well: bool) -> Option<Failure> {
        let mut watch = self.lock();
        let serving = watch.serving;
        watch.fault.take().filter(|_| !(serving && ended_well))
    }

    /// The last block the crate read from the device.
    pub fn last_read(&self) -> Option<u64> {
        self.lock().last_read
    }

    /// Called before the crate reads a block; refuses after a fault, beyond the budget and for a block seen already.
    pub fn before_read(&self, block: u64) -> Result<()> {
        let mut watch = self.lock();
        if watch.fault.is_some() && !watch.serving {
            return Err(Error::new(EIO));
        }
        watch.last_read = Some(block);
        let fault = if watch.reads_left == 0 {
            Some("more blocks are linked than a sound file system has".to_owned())
        } else if watch.visited.as_mut().is_some_and(|seen| !seen.insert(block)) {
            Some(format!("block {block} is linked twice"))
        } else {
            None
        };
        if let Some(message) = fault {
            watch.fault = Some(Failure::Image(message));
            return Err(Error::new(EIO));
        }
        watch.reads_left -= 1;
        Ok(())
    }

    /// Called before the crate writes; refuses after a fault.
    pub fn before_write(&self) -> Result<()> {
        let watch = self.lock();
        if watch.fault.is_some() && !watch.serving {
            return Err(Error::new(EIO));
        }
        Ok(())
    }
}
