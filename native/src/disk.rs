//! A bootpath device as the crate's `Disk`.
//!
//! Three stores: a descriptor (pread/pwrite), memory (memcpy), and any Python device. The first two come from a device
//! whose `direct()` says where its bytes are, and never touch Python. Offsets are bytes; the crate counts 4096-byte
//! blocks.
//!
//! Bounds are checked here. The file system's size was compared with the device's when it was opened, so a block past
//! the end of the device can only come from a pointer that is wrong: it is a fault of the image.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use libc::{EINTR, EIO, EPERM};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use redoxfs::{Disk, Header, BLOCK_SIZE, SIGNATURE};
use syscall::error::Result;

use crate::failure::{strerror, Failure};
use crate::watch::Watcher;

/// Where the bytes are.
enum Store {
    /// A descriptor of our own (a duplicate), and where the device starts in it.
    File { fd: OwnedFd, offset: u64 },
    /// Memory that Python keeps exported, so that it neither moves nor shrinks. Dropped with the buffer.
    Memory { start: *mut u8, _buffer: PyUntypedBuffer },
    /// Read and write through the device's methods.
    Python,
}

/// A device under the crate.
pub struct Adapter {
    device: Py<PyAny>,
    store: Store,
    size: u64,
    writable: bool,
    durable: bool,
    watcher: Watcher,
    prefetched: HashMap<u64, Vec<u8>>,
}

// SAFETY: the pointer of Store::Memory stays valid as long as the buffer export beside it, from any thread.
unsafe impl Send for Adapter {}

impl Adapter {
    /// Look at `device` once: its size, and whether it can be reached without Python.
    ///
    /// With `durable`, the device is flushed before and after every header, so that no header can become stable before
    /// the blocks it points to.
    pub fn new(device: &Bound<'_, PyAny>, durable: bool, watcher: Watcher) -> PyResult<Self> {
        let size = device.getattr("size_bytes")?.extract()?;
        let direct = match device.getattr_opt("direct")? {
            Some(method) => Some(method.call0()?).filter(|answer| !answer.is_none()),
            None => None,
        };
        let (store, writable) = match direct {
            Some(direct) => direct_store(&direct, size)?,
            None => (Store::Python, !device.getattr("read_only")?.extract::<bool>()?),
        };
        Ok(Adapter {
            device: device.clone().unbind(),
            store,
            size,
            writable,
            durable,
            watcher,
            prefetched: HashMap::new(),
        })
    }

    /// Size of the device in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Blocks already read, by block number of the device: served without reading again until cleared with an empty map.
    pub fn set_prefetched(&mut self, blocks: HashMap<u64, Vec<u8>>) {
        self.prefetched = blocks;
    }

    /// Read exactly `target` from byte `offset`.
    pub fn fetch(&self, offset: u64, target: &mut [u8]) -> std::result::Result<(), Failure> {
        self.within("read", offset, target.len())?;
        match &self.store {
            Store::File { fd, offset: start } => pread(fd, target, start + offset),
            Store::Memory { start, .. } => {
                // SAFETY: `within` checked the range; the export keeps the memory in place.
                unsafe {
                    std::ptr::copy_nonoverlapping(start.add(offset as usize), target.as_mut_ptr(), target.len());
                }
                Ok(())
            }
            Store::Python => Python::attach(|py| self.read_python(py, offset, target)).map_err(Failure::Python),
        }
    }

    /// Write all of `data` at byte `offset`.
    pub fn store(&self, offset: u64, data: &[u8]) -> std::result::Result<(), Failure> {
        if !self.writable {
            return Err(Failure::Device {
                errno: EPERM,
                what: format!("write at {offset}: device is read-only"),
            });
        }
        self.within("write", offset, data.len())?;
        match &self.store {
            Store::File { fd, offset: start } => pwrite(fd, data, start + offset),
            Store::Memory { start, .. } => {
                // SAFETY: as in fetch, and the buffer is not read-only.
                unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), start.add(offset as usize), data.len()) }
                Ok(())
            }
            Store::Python => Python::attach(|py| {
                self.device
                    .call_method1(py, "write", (offset, PyBytes::new(py, data)))
                    .map(drop)
            })
            .map_err(Failure::Python),
        }
    }

    /// Make what was written stable: the device's own flush, also for direct stores.
    pub fn flush(&self) -> std::result::Result<(), Failure> {
        Python::attach(|py| self.device.call_method0(py, "flush").map(drop)).map_err(Failure::Python)
    }

    fn within(&self, operation: &str, offset: u64, length: usize) -> std::result::Result<(), Failure> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Failure::Image(format!(
                "{operation} of {length} bytes at byte {offset} is past the end of the device, {} bytes",
                self.size
            ))),
        }
    }

    fn read_python(&self, py: Python<'_>, offset: u64, target: &mut [u8]) -> PyResult<()> {
        let parts = self.device.bind(py).call_method1("read", (offset, target.len()))?;
        let mut filled = 0;
        for part in parts.try_iter()? {
            let part = part?;
            let buffer = PyUntypedBuffer::get(&part)?;
            let length = buffer.len_bytes();
            if !buffer.is_c_contiguous() || length > target.len() - filled {
                filled = usize::MAX;
                break;
            }
            // SAFETY: a contiguous buffer of `length` bytes, held while Python is attached; the target has room.
            unsafe {
                std::ptr::copy_nonoverlapping(buffer.buf_ptr().cast::<u8>(), target[filled..].as_mut_ptr(), length);
            }
            filled += length;
        }
        if filled == target.len() {
            return Ok(());
        }
        let what = format!("device did not return the {} bytes asked for at {offset}", target.len());
        Err(Failure::Device { errno: EIO, what }.into_pyerr(py, "device"))
    }

    fn is_header(data: &[u8]) -> bool {
        data.len() == size_of::<Header>() && data.starts_with(SIGNATURE)
    }
}

impl Disk for Adapter {
    unsafe fn read_at(&mut self, block: u64, buffer: &mut [u8]) -> Result<usize> {
        self.watcher.before_read(block)?;
        if let Some(data) = self.prefetched.get(&block).filter(|data| data.len() == buffer.len()) {
            buffer.copy_from_slice(data);
            return Ok(buffer.len());
        }
        self.fetch(block.saturating_mul(BLOCK_SIZE), buffer)
            .map_err(|failure| self.watcher.fail(failure))?;
        Ok(buffer.len())
    }

    unsafe fn write_at(&mut self, block: u64, buffer: &[u8]) -> Result<usize> {
        self.watcher.before_write()?;
        let barrier = self.durable && Self::is_header(buffer);
        let write = || {
            if barrier {
                self.flush()?;
            }
            self.store(block.saturating_mul(BLOCK_SIZE), buffer)?;
            if barrier {
                self.flush()?;
            }
            Ok(())
        };
        write().map_err(|failure| self.watcher.fail(failure))?;
        Ok(buffer.len())
    }

    fn size(&mut self) -> Result<u64> {
        Ok(self.size)
    }
}

/// The store a `core.Direct` describes, and whether it may be written.
fn direct_store(direct: &Bound<'_, PyAny>, size: u64) -> PyResult<(Store, bool)> {
    let offset: u64 = direct.getattr("offset")?.extract()?;
    let length: u64 = direct.getattr("length")?.extract()?;
    let writable: bool = direct.getattr("writable")?.extract()?;
    let wrong = |message| Failure::Misuse(message).into_pyerr(direct.py(), "");
    if length < size {
        return Err(wrong("direct() covers less than the device"));
    }
    let fd = direct.getattr("fd")?;
    if !fd.is_none() {
        // SAFETY: the device keeps its descriptor open during this call; ours is a duplicate.
        let fd = unsafe { BorrowedFd::borrow_raw(fd.extract()?) }.try_clone_to_owned()?;
        return Ok((Store::File { fd, offset }, writable));
    }
    let buffer = PyUntypedBuffer::get(&direct.getattr("buffer")?)?;
    let end = offset.checked_add(length);
    if !buffer.is_c_contiguous() || end.is_none_or(|end| end > buffer.len_bytes() as u64) {
        return Err(wrong("direct() describes bytes its buffer does not have"));
    }
    let writable = writable && !buffer.readonly();
    // SAFETY: offset is within the buffer, checked above.
    let start = unsafe { buffer.buf_ptr().cast::<u8>().add(offset as usize) };
    Ok((Store::Memory { start, _buffer: buffer }, writable))
}

fn pread(fd: &OwnedFd, mut target: &mut [u8], mut offset: u64) -> std::result::Result<(), Failure> {
    while !target.is_empty() {
        // SAFETY: the pointer and length are those of `target`.
        let count = unsafe { libc::pread64(fd.as_raw_fd(), target.as_mut_ptr().cast(), target.len(), offset as i64) };
        match count {
            0 => {
                return Err(Failure::Device {
                    errno: EIO,
                    what: format!("nothing to read at byte {offset}: the file was truncated"),
                });
            }
            1.. => {
                target = &mut target[count as usize..];
                offset += count as u64;
            }
            _ => check_errno("read", offset)?,
        }
    }
    Ok(())
}

fn pwrite(fd: &OwnedFd, mut data: &[u8], mut offset: u64) -> std::result::Result<(), Failure> {
    while !data.is_empty() {
        // SAFETY: the pointer and length are those of `data`.
        let count = unsafe { libc::pwrite64(fd.as_raw_fd(), data.as_ptr().cast(), data.len(), offset as i64) };
        match count {
            0 => {
                return Err(Failure::Device {
                    errno: EIO,
                    what: format!("write at byte {offset} made no progress"),
                });
            }
            1.. => {
                data = &data[count as usize..];
                offset += count as u64;
            }
            _ => check_errno("write", offset)?,
        }
    }
    Ok(())
}

/// The last errno as a failure; an interrupted call is not one.
fn check_errno(operation: &str, offset: u64) -> std::result::Result<(), Failure> {
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(EIO);
    if errno == EINTR {
        return Ok(());
    }
    Err(Failure::Device {
        errno,
        what: format!("{operation} at byte {offset}: {}", strerror(errno)),
    })
}
