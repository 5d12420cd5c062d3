//! Putting a host directory into a file system, with bounded memory.
//!
//! The crate's `archive_at` reads files whole and holds the result of the entire walk in one transaction, in memory. Here
//! a second thread reads ahead through a bounded queue, and a transaction is committed for about every `batch_bytes`
//! of data, so memory use does not depend on the tree. A node is created, filled and given its attributes before it is
//! synced into the tree once. At the end the allocator log is squashed, as the crate's `archive` does.
//!
//! What is committed stays when a later part fails. Transactions end at places that depend on the tree only, so that the
//! same tree gives the same image.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{sync_channel, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use libc::EIO;
use redoxfs::{Node, TreeData, TreePtr};
use syscall::error::{Error, Result};

use crate::failure::{strerror, Failure};
use crate::hosttree::{self, Attributes, Item, Place, Totals};
use crate::nodes::{self, Time};
use crate::state::{Fs, Tx, NAME_READS, UNLIMITED};
use crate::watch::Watcher;

/// Time between two calls of `tick`.
const TICK: Duration = Duration::from_millis(50);
/// What an entry weighs in a transaction beside its data: its node and the tree blocks it changes.
const ENTRY_BYTES: u64 = 4096;

/// Called at most every 50 ms and at the end: bytes and files done, and the path being archived.
pub type Tick<'a> = &'a mut (dyn FnMut(u64, u64, &str) -> std::result::Result<(), Failure> + Send);

/// What to change on the way.
pub struct Options {
    /// Owner of everything, instead of the host's.
    pub uid: Option<u32>,
    /// Group of everything, instead of the host's.
    pub gid: Option<u32>,
    /// Nothing is younger than this, and creation times are the modification times: the host's ctime cannot be chosen.
    pub clamp: Option<Time>,
    /// Data in one transaction.
    pub batch_bytes: u64,
}

/// Archive `root` into the directory `parent`.
pub fn archive(
    fs: &mut Fs,
    watcher: &Watcher,
    parent: u32,
    root: &Path,
    options: &Options,
    tick: Tick<'_>,
) -> Result<Totals> {
    let failed = |failure| watcher.fail(failure);
    // Refuse what cannot be archived before anything is written.
    fs.tx(|tx| nodes::directory(tx, parent))?;
    hosttree::measure(root).map_err(failed)?;
    let totals = thread::scope(|scope| {
        let (sender, receiver) = sync_channel(hosttree::QUEUE_BATCHES);
        scope.spawn(move || hosttree::send(root, sender));
        let mut writer = Writer {
            watcher,
            options,
            tick,
            last_tick: Instant::now(),
            items: Items {
                receiver,
                batch: Vec::new().into_iter(),
            },
            place: Place::new(root),
            parents: vec![parent],
            open: None,
            inodes: HashMap::new(),
            totals: Totals::default(),
        };
        while fs.tx(|tx| writer.transaction(tx))? {}
        Ok(writer.totals)
    })?;
    watcher.allow(UNLIMITED);
    fs.cleanup()?;
    tick(totals.bytes, totals.files, "").map_err(failed)?;
    Ok(totals)
}

/// Items in order, whatever batches they came in.
struct Items {
    receiver: Receiver<Vec<Item>>,
    batch: std::vec::IntoIter<Item>,
}

impl Iterator for Items {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.batch.next() {
                return Some(item);
            }
            self.batch = self.receiver.recv().ok()?.into_iter();
        }
    }
}

/// A file that is being written: its node and how far.
struct OpenFile {
    id: u32,
    node: Option<TreeData<Node>>,
    offset: u64,
}

struct Writer<'a> {
    watcher: &'a Watcher,
    options: &'a Options,
    tick: Tick<'a>,
    last_tick: Instant,
    items: Items,
    place: Place,
    parents: Vec<u32>,
    open: Option<OpenFile>,
    inodes: HashMap<(u64, u64), u32>,
    totals: Totals,
}

impl Writer<'_> {
    /// Write items until a transaction is full; false when there are no more.
    fn transaction(&mut self, tx: &mut Tx<'_>) -> Result<bool> {
        let mut weight = 0;
        while weight < self.options.batch_bytes {
            self.watcher.allow(NAME_READS);
            let Some(item) = self.items.next() else {
                self.finish_file(tx, true)?;
                self.watcher.allow(UNLIMITED);
                return Ok(false);
            };
            let before = self.totals.bytes;
            self.item(tx, item)?;
            weight += ENTRY_BYTES + (self.totals.bytes - before);
            self.tick_if_due()?;
        }
        self.finish_file(tx, false)?;
        self.watcher.allow(UNLIMITED);
        Ok(true)
    }

    fn item(&mut self, tx: &mut Tx<'_>, item: Item) -> Result<()> {
        match item {
            Item::Data(data) => return self.data(tx, &data),
            Item::Failed(failure) => return Err(self.watcher.fail(failure)),
            _ => self.finish_file(tx, true)?,
        }
        match item {
            Item::Enter { name, attributes } => {
                let node = self.create(tx, name, Node::MODE_DIR, &attributes)?;
                self.parents.push(node.id());
                self.totals.directories += 1;
                tx.sync_tree(node)
            }
            Item::Leave => {
                self.parents.pop();
                self.place.pop();
                Ok(())
            }
            Item::File { name, inode, .. } if inode.is_some_and(|inode| self.inodes.contains_key(&inode)) => {
                self.totals.files += 1;
                self.hard_link(tx, name, inode.and_then(|inode| self.inodes.get(&inode).copied()))
            }
            Item::File {
                name,
                attributes,
                inode,
                data,
            } => {
                let node = self.create(tx, name, Node::MODE_FILE, &attributes)?;
                let id = node.id();
                if let Some(inode) = inode {
                    self.inodes.insert(inode, id);
                }
                let node = Some(node);
                self.open = Some(OpenFile { id, node, offset: 0 });
                self.totals.files += 1;
                self.data(tx, &data)
            }
            Item::Symlink {
                name,
                attributes,
                target,
            } => {
                let mut node = self.create(tx, name, Node::MODE_SYMLINK, &attributes)?;
                let outcome = tx
                    .write_node_inner(&mut node, &mut 0, &target)
                    .and_then(|_| tx.sync_tree(node));
                self.named(outcome)?;
                self.totals.symlinks += 1;
                self.place.pop();
                Ok(())
            }
            Item::Data(_) | Item::Failed(_) => Ok(()),
        }
    }

    /// Create a node with the attributes of the host's; its own sync is left to the caller.
    fn create(&mut self, tx: &mut Tx<'_>, name: String, kind: u16, host: &Attributes) -> Result<TreeData<Node>> {
        let parent = TreePtr::new(self.parents.last().copied().unwrap_or_default());
        let mode = kind | (host.mode & Node::MODE_PERM);
        let (mtime, ctime) = match self.options.clamp {
            Some(clamp) => (host.mtime.min(clamp), host.mtime.min(clamp)),
            None => (host.mtime, host.ctime),
        };
        self.place.push(name.clone());
        let created = tx.create_node(parent, &name, mode, ctime.0, ctime.1);
        let mut node = self.named(created)?;
        let change = nodes::Attributes {
            uid: Some(self.options.uid.unwrap_or(host.uid)),
            gid: Some(self.options.gid.unwrap_or(host.gid)),
            mtime: Some(mtime),
            ..nodes::Attributes::default()
        };
        nodes::apply(node.data_mut(), &change);
        Ok(node)
    }

    fn hard_link(&mut self, tx: &mut Tx<'_>, name: String, id: Option<u32>) -> Result<()> {
        let parent = self.parents.last().copied().unwrap_or_default();
        self.place.push(name.clone());
        let linked = nodes::link(tx, parent, &name, id.unwrap_or_default());
        self.named(linked)?;
        self.place.pop();
        Ok(())
    }

    fn data(&mut self, tx: &mut Tx<'_>, data: &[u8]) -> Result<()> {
        let Some(mut file) = self.open.take() else {
            return Ok(());
        };
        let mut node = match file.node.take() {
            Some(node) => node,
            None => nodes::node(tx, file.id)?,
        };
        if !data.is_empty() {
            let written = tx.write_node_inner(&mut node, &mut file.offset, data);
            self.named(written)?;
        }
        self.totals.bytes += data.len() as u64;
        file.node = Some(node);
        self.open = Some(file);
        Ok(())
    }

    /// Sync the file being written; with `end`, it is complete.
    fn finish_file(&mut self, tx: &mut Tx<'_>, end: bool) -> Result<()> {
        if let Some(file) = &mut self.open {
            if let Some(node) = file.node.take() {
                let synced = tx.sync_tree(node);
                self.named(synced)?;
            }
            if end {
                self.open = None;
                self.place.pop();
            }
        }
        Ok(())
    }

    /// Say at which path the crate refused; damage (EIO) is told with its block instead.
    fn named<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error: Error| match error.errno {
            EIO => error,
            errno => self.watcher.fail(Failure::Host {
                errno,
                what: strerror(errno),
                path: self.place.host(),
            }),
        })
    }

    fn tick_if_due(&mut self) -> Result<()> {
        if self.last_tick.elapsed() < TICK {
            return Ok(());
        }
        self.last_tick = Instant::now();
        (self.tick)(self.totals.bytes, self.totals.files, &self.place.relative())
            .map_err(|failure| self.watcher.fail(failure))
    }
}
