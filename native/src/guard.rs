//! Catching what the crate throws: a panic on bad input becomes a value, and says nothing on stderr.
//!
//! The panic hook is process wide, so it is replaced once and decides by a flag of the panicking thread: inside
//! [`catch`] the message and place are kept for the caller, everywhere else the hook that was there before runs.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// What a caught panic said, and where.
#[derive(Clone, Debug)]
pub struct Panic {
    /// The panic's message.
    pub message: String,
    /// `file:line` inside the crate.
    pub location: String,
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

fn install_hook() {
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CATCHING.get() {
                previous(info);
                return;
            }
            let payload = info.payload();
            let message = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panic without a message".to_owned());
            let location = info
                .location()
                .map_or_else(String::new, |place| format!("{}:{}", short(place.file()), place.line()));
            CAUGHT.set(Some(Panic { message, location }));
        }));
    });
}

/// The path inside the crate: `redoxfs-0.9.1/src/block.rs`, not where cargo unpacked it.
fn short(path: &str) -> &str {
    path.find("/redoxfs-").map_or(path, |start| &path[start + 1..])
}

/// Resets the flag of the thread, also when unwinding; nested calls (a file system on a file system) keep the outer's.
struct Catching(bool);

impl Drop for Catching {
    fn drop(&mut self) {
        CATCHING.set(self.0);
    }
}

/// Run `call`; a panic in it is returned instead of unwinding further.
///
/// The caller must not use what `call` borrowed mutably after a panic: [`crate::fs::FileSystem`] poisons itself.
pub fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panic> {
    install_hook();
    let outcome = {
        let _reset = Catching(CATCHING.replace(true));
        panic::catch_unwind(AssertUnwindSafe(call))
    };
    outcome.map_err(|_| {
        CAUGHT.take().unwrap_or_else(|| Panic {
            message: "panic".to_owned(),
            location: String::new(),
        })
    })
}
