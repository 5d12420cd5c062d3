//! Header blocks, read with the crate's own type.

use redoxfs::{Header, HEADER_RING};

use crate::opening::header_of;

/// Key slots start at byte 80 of a header, 64 of 48 bytes.
const KEY_SLOTS: usize = 80;
const KEY_SLOT_BYTES: usize = 48;
const KEY_SLOT_COUNT: usize = 64;

/// uuid, version, size in bytes, generation, slot, encrypted, key slots in use, and the first blocks of the tree, the
/// allocator log and the release list (0 for none).
pub type Fields = (Vec<u8>, u64, u64, u64, u64, bool, Vec<usize>, u64, u64, u64);

/// The fields of a header.
pub fn fields(header: &Header) -> Fields {
    let slots = &header[KEY_SLOTS..KEY_SLOTS + KEY_SLOT_COUNT * KEY_SLOT_BYTES];
    let used = slots
        .chunks_exact(KEY_SLOT_BYTES)
        .enumerate()
        .filter(|(_, slot)| slot.iter().any(|&byte| byte != 0))
        .map(|(index, _)| index)
        .collect();
    let (tree, alloc, release) = ({ header.tree }, { header.alloc }, { header.release });
    (
        header.uuid().to_vec(),
        { header.version }.to_ne(),
        header.size(),
        header.generation(),
        header.generation() % HEADER_RING,
        header.encrypted(),
        used,
        tree.addr().index(),
        alloc.addr().index(),
        release.addr().index(),
    )
}

/// The fields of a valid header block, None when it is anything else.
pub fn parse(block: &[u8]) -> Option<Fields> {
    let whole = block.len() == size_of::<Header>();
    let header = whole.then(|| header_of(block)).filter(Header::valid)?;
    Some(fields(&header))
}
