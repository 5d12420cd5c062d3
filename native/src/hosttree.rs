//! A directory of the host, walked depth first with names in byte order.
//!
//! The order is the same on every host, which makes archives reproducible. What RedoxFS cannot hold is refused with the
//! path: devices, fifos and sockets, names that are not UTF-8, contain ':' or have more than 252 bytes.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use libc::{EILSEQ, EINVAL, ENAMETOOLONG, EOPNOTSUPP, O_NOFOLLOW};
use redoxfs::DIR_ENTRY_MAX_LENGTH;

use crate::failure::Failure;

/// Bytes of a file read at once: a multiple of the crate's 128 KiB records.
pub const CHUNK_BYTES: usize = 4 << 20;
/// Items sent at once weigh about this; with the queue's length it bounds what is read ahead.
const BATCH_BYTES: usize = 4 << 20;
/// Batches that may wait in the queue.
pub const QUEUE_BATCHES: usize = 4;

/// Attributes of a host file that are archived.
#[derive(Clone, Copy)]
pub struct Attributes {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (u64, u32),
    pub ctime: (u64, u32),
}

/// One step of the walk.
pub enum Item {
    /// A directory; what follows is in it, until `Leave`.
    Enter { name: String, attributes: Attributes },
    /// The end of a directory.
    Leave,
    /// A regular file with its first bytes. `inode` is set when it has more than one name.
    File {
        name: String,
        attributes: Attributes,
        inode: Option<(u64, u64)>,
        data: Vec<u8>,
    },
    /// More bytes of the last file.
    Data(Vec<u8>),
    /// A symbolic link.
    Symlink {
        name: String,
        attributes: Attributes,
        target: Vec<u8>,
    },
    /// The walk failed; nothing follows.
    Failed(Failure),
}

/// What a tree holds.
#[derive(Clone, Copy, Default)]
pub struct Totals {
    pub bytes: u64,
    pub files: u64,
    pub directories: u64,
    pub symlinks: u64,
}

/// What happens at each entry of a walk. An error ends it.
trait Visitor {
    fn enter(&mut self, name: String, metadata: &Metadata) -> Result<(), Failure>;
    fn leave(&mut self) -> Result<(), Failure>;
    fn file(&mut self, name: String, path: &Path, metadata: &Metadata) -> Result<(), Failure>;
    fn symlink(&mut self, name: String, path: &Path, metadata: &Metadata) -> Result<(), Failure>;
}

fn walk(directory: &Path, visitor: &mut dyn Visitor) -> Result<(), Failure> {
    let at_directory = |error| Failure::host_io(directory, error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(at_directory)? {
        entries.push(entry.map_err(at_directory)?.file_name());
    }
    entries.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    for name in entries {
        let path = directory.join(&name);
        let metadata = fs::symlink_metadata(&path).map_err(|error| Failure::host_io(&path, error))?;
        let name = checked_name(name.to_str(), &path)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            visitor.enter(name, &metadata)?;
            walk(&path, visitor)?;
            visitor.leave()?;
        } else if kind.is_file() {
            visitor.file(name, &path, &metadata)?;
        } else if kind.is_symlink() {
            visitor.symlink(name, &path, &metadata)?;
        } else {
            return Err(refusal(
                EOPNOTSUPP,
                "neither a file, a directory nor a symbolic link",
                &path,
            ));
        }
    }
    Ok(())
}

fn checked_name(name: Option<&str>, path: &Path) -> Result<String, Failure> {
    match name {
        None => Err(refusal(EILSEQ, "the name is not UTF-8", path)),
        Some(name) if name.contains(':') => Err(refusal(EINVAL, "RedoxFS names cannot contain ':'", path)),
        Some(name) if name.len() > DIR_ENTRY_MAX_LENGTH => {
            Err(refusal(ENAMETOOLONG, "RedoxFS names have at most 252 bytes", path))
        }
        Some(name) => Ok(name.to_owned()),
    }
}

fn refusal(errno: i32, what: &str, path: &Path) -> Failure {
    Failure::Host {
        errno,
        what: what.to_owned(),
        path: path.to_owned(),
    }
}

fn attributes_of(metadata: &Metadata) -> Attributes {
    // Times before 1970 do not exist on RedoxFS.
    let time = |seconds: i64, nanoseconds: i64| match u64::try_from(seconds) {
        Ok(seconds) => (seconds, nanoseconds as u32),
        Err(_) => (0, 0),
    };
    Attributes {
        mode: metadata.mode() as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: time(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// Count a tree, and refuse what could not be archived, without reading a file.
pub fn measure(root: &Path) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    walk(root, &mut totals)?;
    Ok(totals)
}

impl Visitor for Totals {
    fn enter(&mut self, _name: String, _metadata: &Metadata) -> Result<(), Failure> {
        self.directories += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn file(&mut self, _name: String, _path: &Path, metadata: &Metadata) -> Result<(), Failure> {
        self.files += 1;
        self.bytes += metadata.len();
        Ok(())
    }

    fn symlink(&mut self, _name: String, _path: &Path, _metadata: &Metadata) -> Result<(), Failure> {
        self.symlinks += 1;
        Ok(())
    }
}

/// Walk a tree and send it, read ahead of the receiver as far as the queue allows. Ends when the receiver is gone.
pub fn send(root: &Path, queue: SyncSender<Vec<Item>>) {
    let mut sender = Sender {
        queue,
        batch: Vec::new(),
        weight: 0,
    };
    if let Err(failure) = walk(root, &mut sender) {
        sender.batch.push(Item::Failed(failure));
    }
    // The receiver knows why it left; there is nobody else to tell.
    let _ = sender.queue.send(sender.batch);
}

struct Sender {
    queue: SyncSender<Vec<Item>>,
    batch: Vec<Item>,
    weight: usize,
}

impl Sender {
    fn push(&mut self, item: Item, bytes: usize) -> Result<(), Failure> {
        self.batch.push(item);
        self.weight += bytes + 1024;
        if self.weight < BATCH_BYTES {
            return Ok(());
        }
        self.weight = 0;
        let gone = |_| Failure::Misuse("the archive was stopped");
        self.queue.send(std::mem::take(&mut self.batch)).map_err(gone)
    }
}

impl Visitor for Sender {
    fn enter(&mut self, name: String, metadata: &Metadata) -> Result<(), Failure> {
        let attributes = attributes_of(metadata);
        self.push(Item::Enter { name, attributes }, 0)
    }

    fn leave(&mut self) -> Result<(), Failure> {
        self.push(Item::Leave, 0)
    }

    fn file(&mut self, name: String, path: &Path, metadata: &Metadata) -> Result<(), Failure> {
        let at_path = |error| Failure::host_io(path, error);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .custom_flags(O_NOFOLLOW)
            .open(path)
            .map_err(at_path)?;
        // One byte more than expected, so that the first read also sees the end.
        let expected = (metadata.len() as usize).saturating_add(1).min(CHUNK_BYTES);
        let mut data = read_chunk(&mut file, expected).map_err(at_path)?;
        let mut more = data.len() == expected;
        if more && expected < CHUNK_BYTES {
            // The file has grown; chunks must stay whole.
            data.append(&mut read_chunk(&mut file, CHUNK_BYTES - expected).map_err(at_path)?);
            more = data.len() == CHUNK_BYTES;
        }
        let bytes = data.len();
        let item = Item::File {
            name,
            attributes: attributes_of(metadata),
            inode: (metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino())),
            data,
        };
        self.push(item, bytes)?;
        while more {
            let data = read_chunk(&mut file, CHUNK_BYTES).map_err(at_path)?;
            more = data.len() == CHUNK_BYTES;
            let bytes = data.len();
            self.push(Item::Data(data), bytes)?;
        }
        Ok(())
    }

    fn symlink(&mut self, name: String, path: &Path, metadata: &Metadata) -> Result<(), Failure> {
        let target = fs::read_link(path).map_err(|error| Failure::host_io(path, error))?;
        let item = Item::Symlink {
            name,
            attributes: attributes_of(metadata),
            target: target.into_os_string().as_bytes().to_vec(),
        };
        self.push(item, 0)
    }
}

/// Up to `length` bytes; less only at the end of the file.
fn read_chunk(file: &mut File, length: usize) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut data)?;
    Ok(data)
}

/// The path of an entry, for messages: what the names of the walk add up to.
pub struct Place {
    root: PathBuf,
    names: Vec<String>,
}

impl Place {
    /// The root itself.
    pub fn new(root: &Path) -> Self {
        Place {
            root: root.to_owned(),
            names: Vec::new(),
        }
    }

    /// Go into `name`.
    pub fn push(&mut self, name: String) {
        self.names.push(name);
    }

    /// Go back.
    pub fn pop(&mut self) {
        self.names.pop();
    }

    /// Relative to the root, with slashes.
    pub fn relative(&self) -> String {
        self.names.join("/")
    }

    /// On the host.
    pub fn host(&self) -> PathBuf {
        self.root.join(self.relative())
    }
}
