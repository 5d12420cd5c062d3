//! What is checked before the crate may open a device.
//!
//! `FileSystem::open` believes what it reads: it subtracts the slot from the block without looking, follows the
//! allocator log wherever it leads and then loops over every block of every entry, so that one entry that counts 2^62
//! blocks never returns. Everything it is going to read is therefore read here first, once, in the same order:
//!
//! 1. the first valid header at or after the block asked for, which must lie in the slot its generation says;
//! 2. the 256 ring slots, in one request; the header of the highest generation is elected, whatever its uuid;
//! 3. the allocator log, block by block through the hashes that link it, decrypted if need be. Its entries are replayed
//!    on intervals: no block may be freed twice or allocated while it is not free, none may lie in the ring or past the
//!    end, and the sum of all counts is bounded by a multiple of the size, so that replaying it takes bounded time.
//!
//! The blocks read are handed to the adapter, and the crate's own open is served from them: the device sees each once.

use std::collections::{BTreeMap, HashMap};

use redoxfs::{AllocList, BlockData, BlockLevel, BlockTrait, Header, BLOCK_SIZE, HEADER_RING};
use syscall::error::{EKEYREJECTED, ENOENT, ENOKEY};

use crate::disk::Adapter;
use crate::failure::Failure;

const RING_BYTES: usize = (HEADER_RING * BLOCK_SIZE) as usize;
/// The crate looks for a header in the first 65536 blocks when it is not told where.
const SCAN_BLOCKS: u64 = 65536;
/// The log may free and allocate the whole file system this often between two squashes (at most 1024 generations).
const LOG_REWRITES: u64 = 64;
const LOG_FREE_COUNT: u64 = 1 << 24;

/// What the device holds.
pub struct Preflight {
    /// Block of the device where a valid header was found; what to pass to the crate.
    pub ring_block: u64,
    /// Every block read, by block of the device.
    pub blocks: HashMap<u64, Vec<u8>>,
}

/// Check everything `FileSystem::open(device, password, block)` would read.
pub fn preflight(disk: &Adapter, password: Option<&[u8]>, block: Option<u64>) -> Result<Preflight, Failure> {
    let (ring_block, first) = locate(disk, block)?;
    let slot = first.generation() % HEADER_RING;
    let start = ring_block.checked_sub(slot).ok_or_else(|| {
        Failure::Image(format!(
            "the header in block {ring_block} belongs in slot {slot} of the ring"
        ))
    })?;
    let mut blocks = HashMap::new();
    let header = elect(disk, start, first, &mut blocks)?;
    check_size(disk, start, &header)?;
    let mut log = Log {
        disk,
        start,
        size_blocks: header.size() / BLOCK_SIZE,
        header: &header,
        password,
    };
    let entries = log.read(&mut blocks)?;
    log.replay(&entries)?;
    Ok(Preflight { ring_block, blocks })
}

/// A header from the bytes of a block, valid or not.
pub fn header_of(block: &[u8]) -> Header {
    let mut header = Header::default();
    header.copy_from_slice(block);
    header
}

fn locate(disk: &Adapter, block: Option<u64>) -> Result<(u64, Header), Failure> {
    let device_blocks = disk.size_bytes() / BLOCK_SIZE;
    let (first, end) = match block {
        Some(block) if block < device_blocks => (block, block + 1),
        Some(_) => (0, 0),
        None => (0, SCAN_BLOCKS.min(device_blocks)),
    };
    let mut position = first;
    while position < end {
        let count = (end - position).min(HEADER_RING);
        let mut buffer = vec![0; (count * BLOCK_SIZE) as usize];
        disk.fetch(position * BLOCK_SIZE, &mut buffer)?;
        for (index, data) in buffer.chunks_exact(BLOCK_SIZE as usize).enumerate() {
            let header = header_of(data);
            if header.valid() {
                return Ok((position + index as u64, header));
            }
        }
        position += count;
    }
    Err(Failure::Crate {
        errno: ENOENT,
        block: None,
    })
}

/// Read the ring and elect a header as the crate does: the highest generation, the earlier one of two equals.
fn elect(disk: &Adapter, start: u64, first: Header, blocks: &mut HashMap<u64, Vec<u8>>) -> Result<Header, Failure> {
    let available = disk.size_bytes() / BLOCK_SIZE - start;
    if available < HEADER_RING {
        return Err(truncated(start, first.size(), disk.size_bytes()));
    }
    let mut ring = vec![0; RING_BYTES];
    disk.fetch(start * BLOCK_SIZE, &mut ring)?;
    let mut elected = first;
    for (slot, data) in ring.chunks_exact(BLOCK_SIZE as usize).enumerate() {
        let header = header_of(data);
        if header.valid() && header.generation() > elected.generation() {
            elected = header;
        }
        blocks.insert(start + slot as u64, data.to_vec());
    }
    Ok(elected)
}

fn truncated(start: u64, size: u64, device_bytes: u64) -> Failure {
    Failure::Image(format!(
        "truncated image: a file system of {size} bytes at byte {} does not fit the device, {device_bytes} bytes",
        start * BLOCK_SIZE
    ))
}

fn check_size(disk: &Adapter, start: u64, header: &Header) -> Result<(), Failure> {
    let size = header.size();
    if size % BLOCK_SIZE != 0 || size / BLOCK_SIZE < HEADER_RING + 4 {
        return Err(Failure::Image(format!("the header says a size of {size} bytes")));
    }
    match (start * BLOCK_SIZE).checked_add(size) {
        Some(end) if end <= disk.size_bytes() => Ok(()),
        _ => Err(truncated(start, size, disk.size_bytes())),
    }
}

/// The allocator log of an elected header.
struct Log<'a> {
    disk: &'a Adapter,
    start: u64,
    size_blocks: u64,
    header: &'a Header,
    password: Option<&'a [u8]>,
}

impl Log<'_> {
    /// The entries, oldest first. ENOKEY and EKEYREJECTED as the crate has them.
    fn read(&mut self, blocks: &mut HashMap<u64, Vec<u8>>) -> Result<Vec<(u64, i64)>, Failure> {
        let refuse = |errno| Failure::Crate { errno, block: None };
        let cipher = match (self.password, self.header.encrypted()) {
            (Some(_), false) => return Err(refuse(EKEYREJECTED)),
            (None, true) => return Err(refuse(ENOKEY)),
            (Some(password), true) => Some(self.header.cipher(password).ok_or_else(|| refuse(ENOKEY))?),
            (None, false) => None,
        };
        let mut newest_first = Vec::new();
        let mut pointer = self.header.alloc;
        while !pointer.is_null() {
            let index = pointer.addr().index();
            if index < HEADER_RING || index >= self.size_blocks {
                return Err(self.fault(index, "lies outside the file system"));
            }
            let mut raw = vec![0; BLOCK_SIZE as usize];
            self.disk.fetch((self.start + index) * BLOCK_SIZE, &mut raw)?;
            let mut list = AllocList::empty(BlockLevel::default()).expect("level 0 has an allocator log block");
            list.copy_from_slice(&raw);
            if let Some(cipher) = &cipher {
                cipher.decrypt_area(&mut list, BLOCK_SIZE as usize, index.into(), |sector| {
                    sector.to_le_bytes()
                });
            }
            let block = BlockData::new(pointer.addr(), list);
            if pointer.addr().level() != BlockLevel::default() || block.create_ptr().hash() != pointer.hash() {
                return Err(self.fault(index, "does not match its hash"));
            }
            if blocks.insert(self.start + index, raw).is_some() {
                return Err(self.fault(index, "is linked twice"));
            }
            let entries = block.data().entries.iter().map(|entry| (entry.index(), entry.count()));
            newest_first.push(entries.filter(|&(_, count)| count != 0).collect::<Vec<_>>());
            pointer = block.data().prev;
        }
        Ok(newest_first.into_iter().rev().flatten().collect())
    }

    /// Replay the entries on intervals of free blocks.
    fn replay(&self, entries: &[(u64, i64)]) -> Result<(), Failure> {
        let wrong = |index: u64, count: i64, what: &str| {
            Err(Failure::Image(format!(
                "the allocator log {} {} blocks at block {index} {what}",
                if count < 0 { "allocates" } else { "frees" },
                count.unsigned_abs()
            )))
        };
        let mut budget = self
            .size_blocks
            .saturating_mul(LOG_REWRITES)
            .saturating_add(LOG_FREE_COUNT);
        let mut free = Free::default();
        for &(index, count) in entries {
            let length = count.unsigned_abs();
            let end = index.checked_add(length);
            if index < HEADER_RING || end.is_none_or(|end| end > self.size_blocks) {
                return wrong(index, count, "outside the file system");
            }
            if length > budget {
                return wrong(index, count, "after rewriting the file system too often");
            }
            budget -= length;
            if count < 0 && !free.take(index, length) {
                return wrong(index, count, "that are not free");
            }
            if count > 0 && !free.give(index, length) {
                return wrong(index, count, "that are free already");
            }
        }
        Ok(())
    }

    fn fault(&self, index: u64, what: &str) -> Failure {
        Failure::Image(format!("block {index} of the allocator log {what}"))
    }
}

/// Free blocks as disjoint intervals, start to end.
#[derive(Default)]
struct Free(BTreeMap<u64, u64>);

impl Free {
    /// Remove an interval; false when any of it is not free.
    fn take(&mut self, index: u64, length: u64) -> bool {
        let Some((&start, &end)) = self.0.range(..=index).next_back() else {
            return false;
        };
        if index + length > end {
            return false;
        }
        self.0.remove(&start);
        if start < index {
            self.0.insert(start, index);
        }
        if index + length < end {
            self.0.insert(index + length, end);
        }
        true
    }

    /// Add an interval; false when any of it is free already.
    fn give(&mut self, index: u64, length: u64) -> bool {
        let (mut start, mut end) = (index, index + length);
        if self.0.range(start..end).next().is_some() {
            return false;
        }
        if let Some((&before, &before_end)) = self.0.range(..start).next_back() {
            if before_end > start {
                return false;
            }
            if before_end == start {
                start = before;
            }
        }
        if let Some(&after_end) = self.0.get(&end) {
            self.0.remove(&end);
            end = after_end;
        }
        self.0.insert(start, end);
        true
    }
}
