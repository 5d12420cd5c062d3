//! Operations on nodes by id, each inside one transaction.
//!
//! The crate trusts its callers (its FUSE layer checks some things, the kernel others). What must hold for the image to
//! stay sound is checked here: parents are directories, names are possible, nothing is linked twice into the tree.
//! Reading never writes an access time. Two habits of the crate are corrected with its own functions:
//!
//! * shrinking a file keeps its last, partly filled record allocated for ever, and its old bytes come back when the
//!   file grows again: [`shrink`] rounds the size up to whole records first, and zeroes what remains past the end;
//! * writing past the end of a file exposes those bytes: [`write`] extends the file with zeros first.

use libc::{EEXIST, EFBIG, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM};
use redoxfs::{BlockPtr, Node, TreeData, TreePtr, DIR_ENTRY_MAX_LENGTH};
use syscall::error::{Error, Result};

use crate::failure::Failure;
use crate::state::{Tx, NAME_READS, UNLIMITED};
use crate::watch::Watcher;

/// Records of the largest file that is written, and the most that are cut off: each costs time, also one that is missing.
pub const MAX_RECORDS: u64 = 1 << 24;
/// Pointers in an index block.
const POINTERS_PER_LIST: u64 = 256;

/// Seconds and nanoseconds since 1970.
pub type Time = (u64, u32);

/// What a node says: id, mode, uid, gid, links, size in bytes, blocks, ctime, mtime, atime.
pub type Stat = (u32, u16, u32, u32, u32, u64, u64, Time, Time, Time);

/// Attributes to change; None leaves one as it is.
#[derive(Default)]
pub struct Attributes {
    pub mode: Option<u16>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub ctime: Option<Time>,
    pub mtime: Option<Time>,
    pub atime: Option<Time>,
}

/// The fields of a node.
pub fn stat_of(node: &TreeData<Node>) -> Stat {
    let data = node.data();
    (
        node.id(),
        data.mode(),
        data.uid(),
        data.gid(),
        data.links(),
        data.size(),
        data.blocks(),
        data.ctime(),
        data.mtime(),
        data.atime(),
    )
}

/// Read a node. ENOENT when there is none of that id.
pub fn node(tx: &mut Tx<'_>, id: u32) -> Result<TreeData<Node>> {
    // An id has 8 bits for each level of the tree, but a level has 254 entries.
    if id.to_le_bytes().iter().any(|&index| index >= 254) {
        return Err(Error::new(ENOENT));
    }
    tx.read_tree(TreePtr::new(id))
}

/// A directory's pointer; ENOTDIR when the node is something else.
pub fn directory(tx: &mut Tx<'_>, id: u32) -> Result<TreePtr<Node>> {
    let node = node(tx, id)?;
    if node.data().is_dir() {
        Ok(node.ptr())
    } else {
        Err(Error::new(ENOTDIR))
    }
}

/// Whether a name can be an entry of a directory.
fn possible(name: &str) -> Result<()> {
    if name.len() > DIR_ENTRY_MAX_LENGTH {
        return Err(Error::new(ENAMETOOLONG));
    }
    // The crate ends names at a NUL, cannot read an empty one back, and reserves ':' for schemes.
    if matches!(name, "" | "." | "..") || name.contains(['/', ':', '\0']) {
        return Err(Error::new(EINVAL));
    }
    Ok(())
}

/// EEXIST when there is an entry; every other failure as it is. (The crate takes any failure for "not there".)
fn vacant(tx: &mut Tx<'_>, parent: TreePtr<Node>, name: &str) -> Result<()> {
    match tx.find_node(parent, name) {
        Ok(_) => Err(Error::new(EEXIST)),
        Err(error) if error.errno == ENOENT => Ok(()),
        Err(error) => Err(error),
    }
}

/// The node called `name` in a directory. ENOENT, ENOTDIR.
pub fn find(tx: &mut Tx<'_>, parent: u32, name: &str) -> Result<TreeData<Node>> {
    let parent = directory(tx, parent)?;
    tx.find_node(parent, name)
}

/// Entries of a directory with their nodes, sorted by name. ENOTDIR.
pub fn children(tx: &mut Tx<'_>, watcher: &Watcher, id: u32) -> Result<Vec<(String, Stat)>> {
    let parent = directory(tx, id)?;
    let mut entries = Vec::new();
    watcher.visit_once();
    let outcome = tx.child_nodes(parent, &mut entries);
    watcher.take_visited();
    outcome?;
    watcher.allow(5 * entries.len() as u64);
    let mut children = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = match entry.name() {
            Some(name) if !matches!(name, "" | "." | "..") && !name.contains('/') => name.to_owned(),
            _ => return Err(watcher.fail(Failure::Image(format!("directory node {id} holds an impossible name")))),
        };
        let child = node(tx, entry.node_ptr().id()).map_err(|error| match error.errno {
            ENOENT => watcher.fail(Failure::Image(format!(
                "directory node {id} names a node that does not exist"
            ))),
            _ => error,
        })?;
        children.push((name, stat_of(&child)));
    }
    children.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(children)
}

/// Read into `target`; the number of bytes read is less at the end of the file. Writes no access time.
pub fn read(tx: &mut Tx<'_>, id: u32, offset: u64, target: &mut [u8]) -> Result<usize> {
    let node = node(tx, id)?;
    if node.data().is_dir() {
        return Err(Error::new(EISDIR));
    }
    tx.read_node_inner(&node, offset, target)
}

/// Write `data` and set the modification time; no bytes change nothing. EISDIR, EFBIG.
pub fn write(tx: &mut Tx<'_>, id: u32, offset: u64, data: &[u8], mtime: Time) -> Result<()> {
    let mut node = node(tx, id)?;
    if node.data().is_dir() {
        return Err(Error::new(EISDIR));
    }
    if data.is_empty() {
        return Ok(());
    }
    let mut position = offset;
    if offset
        .checked_add(data.len() as u64)
        .is_none_or(|end| end > max_size(&node))
    {
        return Err(Error::new(EFBIG));
    }
    if offset > node.data().size() {
        tx.truncate_node_inner(&mut node, offset)?;
    }
    tx.write_node_inner(&mut node, &mut position, data)?;
    node.data_mut().set_mtime(mtime.0, mtime.1);
    tx.sync_tree(node)
}

/// Create a node and link it. EEXIST, ENOTDIR, EINVAL, ENAMETOOLONG, ENOSPC.
pub fn create(tx: &mut Tx<'_>, parent: u32, name: &str, mode: u16, ctime: Time) -> Result<TreeData<Node>> {
    possible(name)?;
    let parent = directory(tx, parent)?;
    vacant(tx, parent, name)?;
    tx.create_node(parent, name, mode, ctime.0, ctime.1)
}

/// Give a node one more name. EPERM for directories.
pub fn link(tx: &mut Tx<'_>, parent: u32, name: &str, id: u32) -> Result<()> {
    possible(name)?;
    let parent = directory(tx, parent)?;
    vacant(tx, parent, name)?;
    let target = node(tx, id)?;
    if target.data().is_dir() {
        return Err(Error::new(EPERM));
    }
    tx.link_node(parent, name, target.ptr())
}

/// Move a name, replacing what has the new one. The caller has checked that no directory moves into itself.
pub fn rename(
    tx: &mut Tx<'_>,
    watcher: &Watcher,
    parent: u32,
    name: &str,
    new_parent: u32,
    new_name: &str,
) -> Result<()> {
    possible(new_name)?;
    let from = directory(tx, parent)?;
    let to = directory(tx, new_parent)?;
    let moved = tx.find_node(from, name)?;
    match tx.find_node(to, new_name) {
        // rename(2): "If oldpath and newpath are existing hard links referring to the same file, then rename() does
        // nothing, and returns a success status."
        Ok(replaced) if replaced.id() == moved.id() => return Ok(()),
        Ok(replaced) => {
            match (moved.data().is_dir(), replaced.data().is_dir()) {
                (true, false) => return Err(Error::new(ENOTDIR)),
                (false, true) => return Err(Error::new(EISDIR)),
                _ => {}
            }
            let mode = replaced.data().mode();
            remove_entry(tx, watcher, to, new_name, replaced, mode)?;
        }
        Err(error) if error.errno == ENOENT => {}
        Err(error) => return Err(error),
    }
    tx.rename_node(from, name, to, new_name)
}

/// Remove a name, and the node with its last one. `mode` says what it is expected to be: ENOTDIR, EISDIR, ENOTEMPTY.
pub fn remove(tx: &mut Tx<'_>, watcher: &Watcher, parent: u32, name: &str, mode: u16) -> Result<()> {
    let parent = directory(tx, parent)?;
    let node = tx.find_node(parent, name)?;
    remove_entry(tx, watcher, parent, name, node, mode)
}

fn remove_entry(
    tx: &mut Tx<'_>,
    watcher: &Watcher,
    parent: TreePtr<Node>,
    name: &str,
    mut node: TreeData<Node>,
    mode: u16,
) -> Result<()> {
    if !node.data().is_dir() && node.data().links() <= 1 && mode & Node::MODE_TYPE != Node::MODE_DIR {
        shrink(tx, watcher, &mut node, 0)?;
        tx.sync_tree(node)?;
    }
    tx.remove_node(parent, name, mode).map(drop)
}

/// Set the size; what is added reads as zeros. EISDIR, EFBIG.
pub fn truncate(tx: &mut Tx<'_>, watcher: &Watcher, id: u32, size: u64, mtime: Time) -> Result<()> {
    let mut node = node(tx, id)?;
    if node.data().is_dir() {
        return Err(Error::new(EISDIR));
    }
    if size > max_size(&node) {
        return Err(Error::new(EFBIG));
    }
    if size < node.data().size() {
        shrink(tx, watcher, &mut node, size)?;
    } else {
        tx.truncate_node_inner(&mut node, size)?;
    }
    node.data_mut().set_mtime(mtime.0, mtime.1);
    tx.sync_tree(node)
}

/// The largest size a node may have here.
fn max_size(node: &TreeData<Node>) -> u64 {
    MAX_RECORDS * record_bytes(node)
}

/// The number of records the crate looks at to remove a node.
pub fn records(node: &TreeData<Node>) -> u64 {
    node.data().size() / record_bytes(node)
}

fn record_bytes(node: &TreeData<Node>) -> u64 {
    node.data().record_level().bytes()
}

/// One more than the highest record that a pointer in the node can lead to.
fn linked_records(node: &TreeData<Node>) -> u64 {
    let Some(levels) = node.data().level_data() else {
        return 0;
    };
    fn used<T>(pointers: &[BlockPtr<T>]) -> u64 {
        let last = pointers.iter().rposition(|pointer| !pointer.is_null());
        last.map_or(0, |index| index as u64 + 1)
    }
    // The fields are packed, so they are copied out before they are searched.
    let (level0, level1, level2) = ({ levels.level0 }, { levels.level1 }, { levels.level2 });
    let (level3, level4) = ({ levels.level3 }, { levels.level4 });
    let used = [
        used(&level0),
        used(&level1),
        used(&level2),
        used(&level3),
        used(&level4),
    ];
    let counts = [level0.len(), level1.len(), level2.len(), level3.len(), level4.len()];
    let (mut first, mut span, mut linked) = (0, 1, 0);
    for (used, count) in used.into_iter().zip(counts) {
        if used > 0 {
            linked = first + used * span;
        }
        first += count as u64 * span;
        span *= POINTERS_PER_LIST;
    }
    linked
}

/// Make a node smaller so that nothing of what is cut off stays allocated or comes back.
fn shrink(tx: &mut Tx<'_>, watcher: &Watcher, node: &mut TreeData<Node>, size: u64) -> Result<()> {
    let old_size = node.data().size();
    if let Some(inline) = node.data_mut().inline_data_mut() {
        let keep = (size as usize).min(inline.len());
        inline[keep..].fill(0);
    } else {
        let record = record_bytes(node);
        let in_record = size % record;
        if in_record > 0 {
            let end = old_size.min(size - in_record + record);
            let mut position = size;
            let zeros = vec![0; (end - size) as usize];
            tx.write_node_inner(node, &mut position, &zeros)?;
        }
        // The crate looks at every record up to the size, so the size first comes down to what can be allocated.
        let kept_records = size.div_ceil(record);
        let records = old_size.div_ceil(record).min(linked_records(node)).max(kept_records);
        if records - kept_records > MAX_RECORDS {
            return Err(Error::new(EFBIG));
        }
        node.data_mut().set_size(records * record);
    }
    if node.data().size() > size {
        // Bounded by the number of records, checked above.
        watcher.allow(UNLIMITED);
        tx.truncate_node_inner(node, size)?;
        watcher.allow(NAME_READS);
    }
    Ok(())
}

/// Change attributes; the type in `mode` is kept.
pub fn set_attributes(tx: &mut Tx<'_>, id: u32, change: &Attributes) -> Result<()> {
    let mut node = node(tx, id)?;
    apply(node.data_mut(), change);
    tx.sync_tree(node)
}

/// Change attributes of a node in memory; the type in `mode` is kept.
pub fn apply(data: &mut Node, change: &Attributes) {
    if let Some(mode) = change.mode {
        data.set_mode((data.mode() & Node::MODE_TYPE) | (mode & Node::MODE_PERM));
    }
    if let Some(uid) = change.uid {
        data.set_uid(uid);
    }
    if let Some(gid) = change.gid {
        data.set_gid(gid);
    }
    if let Some((seconds, nanoseconds)) = change.ctime {
        data.ctime = seconds.into();
        data.ctime_nsec = nanoseconds.into();
    }
    if let Some((seconds, nanoseconds)) = change.mtime {
        data.set_mtime(seconds, nanoseconds);
    }
    if let Some((seconds, nanoseconds)) = change.atime {
        data.set_atime(seconds, nanoseconds);
    }
}
