//! The Python class `FileSystem`: arguments in, one call into the other modules, values out.

use std::path::PathBuf;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use redoxfs::{BLOCK_SIZE, HEADER_RING};
use syscall::error::Result as CrateResult;

use crate::archive::{self, Options};
use crate::disk::Adapter;
use crate::failure::Failure;
use crate::header::{self, Fields};
use crate::nodes::{self, Attributes, Stat, Time};
use crate::opening;
use crate::span::Span;
use crate::state::{settle, Fs, Tx, Volume, NAME_READS, UNLIMITED};
use crate::walk::{self, Run};
use crate::watch::Watcher;

/// Data of one write transaction; the crate holds it in memory until it commits.
const WRITE_BYTES: usize = 32 << 20;

/// A RedoxFS on any device, by node id; the root directory is node 1. See `bootpath.fs.RedoxFS` for paths.
#[pyclass(frozen, module = "bootpath._native")]
pub struct FileSystem {
    volume: Volume,
}

fn device_name(device: &Bound<'_, PyAny>) -> PyResult<String> {
    device.getattr("identity")?.getattr("name")?.extract()
}

/// Clean up after checking that the crate can do it in bounded time.
fn cleanup(fs: &mut Fs, watcher: &Watcher) -> CrateResult<()> {
    watcher.allow(UNLIMITED);
    fs.tx(|tx| walk::check_releases(tx, watcher))?;
    fs.cleanup()
}

/// Write the header so often that every slot of the ring is valid and of its uuid.
fn fill_ring(fs: &mut Fs) -> CrateResult<()> {
    for _ in 0..HEADER_RING {
        fs.tx(|tx| {
            tx.header_changed = true;
            Ok(())
        })?;
    }
    Ok(())
}

impl FileSystem {
    fn tx<T: Send>(
        &self,
        py: Python<'_>,
        reads: u64,
        operation: impl FnOnce(&mut Tx<'_>) -> CrateResult<T> + Send,
    ) -> PyResult<T> {
        self.volume.run(py, reads, |fs| fs.tx(operation))
    }
}

#[pymethods]
impl FileSystem {
    /// Open the file system on `device`; `block` says where its ring starts, None to look for it.
    #[staticmethod]
    fn open(
        py: Python<'_>,
        device: &Bound<'_, PyAny>,
        password: Option<Vec<u8>>,
        block: Option<u64>,
        cleanup: bool,
        durable: bool,
    ) -> PyResult<Self> {
        let name = device_name(device)?;
        let watcher = Watcher::default();
        let mut disk = Adapter::new(device, durable, watcher.clone())?;
        let opened = py.detach(|| {
            let open = || {
                let found = opening::preflight(&disk, password.as_deref(), block);
                let found = found.map_err(|failure| watcher.fail(failure))?;
                disk.set_prefetched(found.blocks);
                let mut fs = Fs::open(disk, password.as_deref(), Some(found.ring_block), false)?;
                fs.disk.set_prefetched(Default::default());
                if cleanup {
                    self::cleanup(&mut fs, &watcher)?;
                }
                Ok(fs)
            };
            settle(&watcher, UNLIMITED, open).map_err(|(failure, _)| failure)
        });
        let fs = opened.map_err(|failure| failure.into_pyerr(py, &name))?;
        Ok(FileSystem {
            volume: Volume::new(fs, watcher, name),
        })
    }

    /// Make a file system on `device`, after `reserved` bytes, rounded up to a block.
    ///
    /// The ring is zeroed first, because the crate elects the highest generation whatever its uuid: a header of an
    /// earlier file system would win. `pristine` says that the device reads as zeros already.
    #[staticmethod]
    #[allow(clippy::too_many_arguments)] // one row of keywords, named on the Python side
    fn create(
        py: Python<'_>,
        device: &Bound<'_, PyAny>,
        password: Option<Vec<u8>>,
        reserved: Vec<u8>,
        ctime: Time,
        uuid: Option<[u8; 16]>,
        pristine: bool,
        durable: bool,
    ) -> PyResult<Self> {
        let name = device_name(device)?;
        let watcher = Watcher::default();
        let disk = Adapter::new(device, durable, watcher.clone())?;
        let created = py.detach(|| {
            let create = || {
                let start = (reserved.len() as u64).next_multiple_of(BLOCK_SIZE);
                let ring = (HEADER_RING * BLOCK_SIZE) as usize;
                if !pristine && start + ring as u64 <= disk.size_bytes() {
                    let zeroed = disk.store(start, &vec![0; ring]);
                    zeroed.map_err(|failure| watcher.fail(failure))?;
                }
                let mut fs = Fs::create_reserved(disk, password.as_deref(), &reserved, ctime.0, ctime.1)?;
                if let Some(uuid) = uuid {
                    fs.header.uuid = uuid;
                }
                // The crate writes slot 0 of an encrypted file system with a wrong hash, and every loader starts there.
                if uuid.is_some() || password.is_some() {
                    fill_ring(&mut fs)?;
                }
                Ok(fs)
            };
            settle(&watcher, UNLIMITED, create).map_err(|(failure, _)| failure)
        });
        let fs = created.map_err(|failure| failure.into_pyerr(py, &name))?;
        Ok(FileSystem {
            volume: Volume::new(fs, watcher, name),
        })
    }

    /// The current header, and the block of the device where the ring starts.
    fn header(&self, py: Python<'_>) -> PyResult<(Fields, u64)> {
        self.volume.run(py, 0, |fs| Ok((header::fields(&fs.header), fs.block)))
    }

    /// Number of free blocks.
    fn free_blocks(&self, py: Python<'_>) -> PyResult<u64> {
        self.volume.run(py, 0, |fs| Ok(fs.allocator().free()))
    }

    /// Free blocks as (first, count), sorted.
    fn free_runs(&self, py: Python<'_>) -> PyResult<Vec<(u64, u64)>> {
        self.volume.run(py, 0, |fs| {
            let levels = fs.allocator().levels().iter().enumerate();
            let mut runs: Vec<(u64, u64)> = levels
                .flat_map(|(level, blocks)| blocks.iter().map(move |&block| (block, 1 << level)))
                .collect();
            runs.sort_unstable();
            runs.dedup_by(|next, previous| {
                let joined = previous.0 + previous.1 == next.0;
                previous.1 += if joined { next.1 } else { 0 };
                joined
            });
            Ok(runs)
        })
    }

    /// The node called `name` in the directory `parent`.
    fn find(&self, py: Python<'_>, parent: u32, name: &str) -> PyResult<Stat> {
        self.tx(py, NAME_READS, |tx| {
            nodes::find(tx, parent, name).map(|node| nodes::stat_of(&node))
        })
    }

    /// The fields of a node.
    fn stat(&self, py: Python<'_>, node: u32) -> PyResult<Stat> {
        self.tx(py, NAME_READS, |tx| {
            nodes::node(tx, node).map(|node| nodes::stat_of(&node))
        })
    }

    /// Names and nodes in a directory, sorted by name.
    fn children(&self, py: Python<'_>, node: u32) -> PyResult<Vec<(String, Stat)>> {
        let watcher = self.volume.watcher();
        self.tx(py, UNLIMITED, |tx| nodes::children(tx, watcher, node))
    }

    /// Up to `length` bytes from `offset`.
    fn read<'py>(&self, py: Python<'py>, node: u32, offset: u64, length: usize) -> PyResult<Bound<'py, PyBytes>> {
        let mut count = 0;
        let bytes = PyBytes::new_with(py, length, |target| {
            count = self.tx(py, UNLIMITED, |tx| nodes::read(tx, node, offset, target))?;
            Ok(())
        })?;
        if count == length {
            return Ok(bytes);
        }
        Ok(PyBytes::new(py, &bytes.as_bytes()[..count]))
    }

    /// Fill a writable buffer from `offset`; the number of bytes read.
    fn read_into(&self, py: Python<'_>, node: u32, offset: u64, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let buffer = PyUntypedBuffer::get(buffer)?;
        let mut target = Span::of(&buffer, true).map_err(|failure| failure.into_pyerr(py, ""))?;
        self.tx(py, UNLIMITED, move |tx| {
            nodes::read(tx, node, offset, target.bytes_mut())
        })
    }

    /// Write a buffer at `offset`, in transactions of 32 MiB.
    fn write(&self, py: Python<'_>, node: u32, offset: u64, data: &Bound<'_, PyAny>, mtime: Time) -> PyResult<()> {
        let buffer = PyUntypedBuffer::get(data)?;
        let data = Span::of(&buffer, false).map_err(|failure| failure.into_pyerr(py, ""))?;
        self.volume.run(py, UNLIMITED, move |fs| {
            let mut position = offset;
            let mut rest = data.bytes();
            loop {
                let (chunk, later) = rest.split_at(rest.len().min(WRITE_BYTES));
                fs.tx(|tx| nodes::write(tx, node, position, chunk, mtime))?;
                position = position.saturating_add(chunk.len() as u64);
                rest = later;
                if rest.is_empty() {
                    return Ok(());
                }
            }
        })
    }

    /// Create a node of `mode` (type and permissions) in the directory `parent`, with `content` (a link's target).
    fn create_node(
        &self,
        py: Python<'_>,
        parent: u32,
        name: &str,
        mode: u16,
        ctime: Time,
        content: Vec<u8>,
    ) -> PyResult<Stat> {
        self.tx(py, NAME_READS, |tx| {
            let node = nodes::create(tx, parent, name, mode, ctime)?;
            if content.is_empty() {
                return Ok(nodes::stat_of(&node));
            }
            nodes::write(tx, node.id(), 0, &content, ctime)?;
            Ok(nodes::stat_of(&nodes::node(tx, node.id())?))
        })
    }

    /// Give node `id` one more name.
    fn link(&self, py: Python<'_>, parent: u32, name: &str, node: u32) -> PyResult<()> {
        self.tx(py, NAME_READS, |tx| nodes::link(tx, parent, name, node))
    }

    /// Move a name, replacing what has the new one.
    fn rename(&self, py: Python<'_>, parent: u32, name: &str, new_parent: u32, new_name: &str) -> PyResult<()> {
        let watcher = self.volume.watcher();
        self.tx(py, NAME_READS, |tx| {
            nodes::rename(tx, watcher, parent, name, new_parent, new_name)
        })
    }

    /// Remove a name; `mode` says whether it is expected to be a directory.
    fn remove(&self, py: Python<'_>, parent: u32, name: &str, mode: u16) -> PyResult<()> {
        let watcher = self.volume.watcher();
        self.tx(py, NAME_READS, |tx| nodes::remove(tx, watcher, parent, name, mode))
    }

    /// Set the size of a file.
    fn truncate(&self, py: Python<'_>, node: u32, size: u64, mtime: Time) -> PyResult<()> {
        let watcher = self.volume.watcher();
        self.tx(py, NAME_READS, |tx| nodes::truncate(tx, watcher, node, size, mtime))
    }

    /// Change attributes; None leaves one as it is.
    #[allow(clippy::too_many_arguments)] // the attributes of a node
    fn set_attributes(
        &self,
        py: Python<'_>,
        node: u32,
        mode: Option<u16>,
        uid: Option<u32>,
        gid: Option<u32>,
        ctime: Option<Time>,
        mtime: Option<Time>,
        atime: Option<Time>,
    ) -> PyResult<()> {
        let change = Attributes {
            mode,
            uid,
            gid,
            ctime,
            mtime,
            atime,
        };
        self.tx(py, NAME_READS, |tx| nodes::set_attributes(tx, node, &change))
    }

    /// Remove released nodes and squash the allocator log. Always writes.
    fn cleanup(&self, py: Python<'_>) -> PyResult<()> {
        let watcher = self.volume.watcher();
        self.volume.run(py, UNLIMITED, |fs| cleanup(fs, watcher))
    }

    /// Make everything written stable: the device's flush.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let watcher = self.volume.watcher();
        self.volume
            .run(py, 0, |fs| fs.disk.flush().map_err(|failure| watcher.fail(failure)))
    }

    /// Every run of blocks a node occupies: (what, first block, count).
    fn node_runs(&self, py: Python<'_>, node: u32) -> PyResult<Vec<Run>> {
        let watcher = self.volume.watcher();
        self.volume.run(py, UNLIMITED, |fs| {
            let start = fs.block;
            fs.tx(|tx| walk::node_runs(tx, watcher, start, node))
        })
    }

    /// The runs of blocks of the allocator log and the release list.
    fn log_runs(&self, py: Python<'_>) -> PyResult<Vec<Run>> {
        let watcher = self.volume.watcher();
        self.tx(py, UNLIMITED, |tx| walk::log_runs(tx, watcher))
    }

    /// Archive a host directory into the directory `parent`: bytes, files, directories, symlinks.
    #[allow(clippy::too_many_arguments)] // one row of keywords
    fn archive(
        &self,
        py: Python<'_>,
        parent: u32,
        root: PathBuf,
        progress: Option<Py<PyAny>>,
        uid: Option<u32>,
        gid: Option<u32>,
        clamp: Option<Time>,
        batch_bytes: u64,
    ) -> PyResult<(u64, u64, u64, u64)> {
        let options = Options {
            uid,
            gid,
            clamp,
            batch_bytes,
        };
        // A signal is seen here too: KeyboardInterrupt reaches the caller like any exception of the callback.
        let mut tick = |bytes: u64, files: u64, path: &str| {
            Python::attach(|py| {
                py.check_signals()?;
                match &progress {
                    Some(call) => call.call1(py, (bytes, files, path)).map(drop),
                    None => Ok(()),
                }
            })
            .map_err(Failure::Python)
        };
        let watcher = self.volume.watcher();
        let totals = self.volume.run(py, UNLIMITED, |fs| {
            archive::archive(fs, watcher, parent, &root, &options, &mut tick)
        })?;
        Ok((totals.bytes, totals.files, totals.directories, totals.symlinks))
    }

    /// Mount at `mountpoint` and serve until it is unmounted; `ready` is called once. Closes the file system.
    fn mount(&self, py: Python<'_>, mountpoint: PathBuf, ready: Py<PyAny>) -> PyResult<()> {
        let fs = self.volume.take(py)?;
        crate::mount::serve(py, *fs, self.volume.watcher(), mountpoint, ready)
            .map_err(|failure| failure.into_pyerr(py, self.volume.device()))
    }

    /// Let go of the device. Twice is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.volume.close(py)
    }
}
