//! Which blocks things occupy, relative to the start of the file system (block 0 is ring slot 0).
//!
//! Files are walked over the crate's public pointer types. The types of a directory's hash tree are private, so the
//! crate walks it itself while the adapter notes which blocks it reads.

use std::collections::HashSet;

use redoxfs::AllocList;
use redoxfs::{BlockData, BlockList, BlockPtr, BlockRaw, Node, RecordRaw, ReleaseList, TreePtr};
use syscall::error::{Error, Result, ENOENT};

use crate::failure::Failure;
use crate::nodes;
use crate::state::Tx;
use crate::watch::Watcher;

/// What a run of blocks is, its first block, and how many.
pub type Run = (&'static str, u64, u64);

/// Collects runs, joining those that follow each other and are the same thing.
#[derive(Default)]
struct Runs(Vec<Run>);

impl Runs {
    fn add(&mut self, what: &'static str, first: u64, count: u64) {
        match self.0.last_mut() {
            Some(last) if last.0 == what && last.1 + last.2 == first => last.2 += count,
            _ => self.0.push((what, first, count)),
        }
    }

    fn add_pointer<T>(&mut self, what: &'static str, pointer: &BlockPtr<T>) {
        let addr = pointer.addr();
        self.add(what, addr.index(), addr.level().blocks());
    }
}

/// Everything a node occupies: the tree blocks on the way to it, itself, its index blocks and its data.
pub fn node_runs(tx: &mut Tx<'_>, watcher: &Watcher, start: u64, id: u32) -> Result<Vec<Run>> {
    let mut runs = Runs::default();
    let pointer = tree_path(tx, id, &mut runs)?;
    // SAFETY: this is how the crate itself reads nodes through the tree, which is typed as raw blocks.
    let block: BlockData<Node> = tx.read_block(unsafe { pointer.cast() })?;
    runs.add_pointer("node", &pointer);
    if block.data().is_dir() {
        directory_runs(tx, watcher, start, id, &mut runs)?;
    } else if let Some(levels) = block.data().level_data() {
        let mut files = FileWalk {
            tx,
            watcher,
            runs: &mut runs,
            seen: HashSet::new(),
        };
        // The fields are packed, so they are copied out before they are iterated.
        let (level0, level1, level2) = ({ levels.level0 }, { levels.level1 }, { levels.level2 });
        let (level3, level4) = ({ levels.level3 }, { levels.level4 });
        files.lists(&level0, 0)?;
        files.lists(&level1, 1)?;
        files.lists(&level2, 2)?;
        files.lists(&level3, 3)?;
        files.lists(&level4, 4)?;
    }
    Ok(runs.0)
}

/// The four levels of the tree above a node; returns the pointer to the node.
fn tree_path(tx: &mut Tx<'_>, id: u32, runs: &mut Runs) -> Result<BlockPtr<BlockRaw>> {
    let (i3, i2, i1, i0) = TreePtr::<Node>::new(id).indexes();
    let level3 = tx.header.tree;
    let list3 = tx.read_block(level3)?;
    // An id has 8 bits for each level, but a list has 254 entries.
    if [i3, i2, i1, i0].iter().any(|&index| index >= list3.data().ptrs.len()) {
        return Err(Error::new(ENOENT));
    }
    let level2 = list3.data().ptrs[i3];
    let list2 = tx.read_block(level2)?;
    let level1 = list2.data().ptrs[i2];
    let list1 = tx.read_block(level1)?;
    let level0 = list1.data().ptrs[i1];
    let list0 = tx.read_block(level0)?;
    runs.add_pointer("tree", &level3);
    runs.add_pointer("tree", &level2);
    runs.add_pointer("tree", &level1);
    runs.add_pointer("tree", &level0);
    Ok(list0.data().ptrs[i0])
}

/// The blocks the crate reads to list a directory, without the way to its node.
fn directory_runs(tx: &mut Tx<'_>, watcher: &Watcher, start: u64, id: u32, runs: &mut Runs) -> Result<()> {
    let path: HashSet<u64> = runs
        .0
        .iter()
        .flat_map(|&(_, first, count)| first..first + count)
        .collect();
    let mut entries = Vec::new();
    watcher.visit_once();
    let outcome = tx.child_nodes(TreePtr::new(id), &mut entries);
    let read = watcher.take_visited();
    outcome?;
    let mut blocks: Vec<u64> = read.into_iter().map(|block| block - start).collect();
    blocks.retain(|block| !path.contains(block));
    blocks.sort_unstable();
    for block in blocks {
        runs.add("directory", block, 1);
    }
    Ok(())
}

/// The walk over a file's pointers.
struct FileWalk<'a, 'b> {
    tx: &'a mut Tx<'b>,
    watcher: &'a Watcher,
    runs: &'a mut Runs,
    seen: HashSet<u64>,
}

impl FileWalk<'_, '_> {
    /// Pointers that are `depth` lists above records.
    fn lists<T>(&mut self, pointers: &[BlockPtr<T>], depth: usize) -> Result<()> {
        for pointer in pointers.iter().filter(|pointer| !pointer.is_null()) {
            if depth == 0 {
                self.runs.add_pointer("data", pointer);
                continue;
            }
            if !self.seen.insert(pointer.addr().index()) {
                let message = format!("index block {} is linked twice", pointer.addr().index());
                return Err(self.watcher.fail(Failure::Image(message)));
            }
            // SAFETY: lists of every depth have the same layout, and their hash is over the bytes.
            let list: BlockData<BlockList<RecordRaw>> = self.tx.read_block(unsafe { pointer.cast() })?;
            self.runs.add_pointer("index", pointer);
            let inner = { list.data().ptrs };
            self.lists(&inner, depth - 1)?;
        }
        Ok(())
    }
}

/// The blocks of the allocator log and of the release list of the current header.
pub fn log_runs(tx: &mut Tx<'_>, watcher: &Watcher) -> Result<Vec<Run>> {
    let mut runs = Runs::default();
    watcher.visit_once();
    let mut alloc: BlockPtr<AllocList> = tx.header.alloc;
    while !alloc.is_null() {
        runs.add_pointer("allocator log", &alloc);
        alloc = tx.read_block(alloc)?.data().prev;
    }
    let mut release: BlockPtr<ReleaseList> = tx.header.release;
    while !release.is_null() {
        runs.add_pointer("release list", &release);
        release = tx.read_block(release)?.data().prev;
    }
    watcher.take_visited();
    Ok(runs.0)
}

/// Refuse a release list whose nodes the crate could not remove in bounded time.
pub fn check_releases(tx: &mut Tx<'_>, watcher: &Watcher) -> Result<()> {
    let mut ids = Vec::new();
    watcher.visit_once();
    let mut pointer: BlockPtr<ReleaseList> = tx.header.release;
    while !pointer.is_null() {
        let list = tx.read_block(pointer)?;
        let entries = { list.data().entries };
        ids.extend(entries.iter().filter(|entry| !entry.is_null()).map(|entry| entry.id()));
        pointer = list.data().prev;
    }
    watcher.take_visited();
    let mut records = 0u64;
    for id in ids {
        let node = nodes::node(tx, id)?;
        records = records.saturating_add(nodes::records(&node));
        if records > nodes::MAX_RECORDS {
            return Err(watcher.fail(Failure::Image(format!("released node {id} has an impossible size"))));
        }
    }
    Ok(())
}
