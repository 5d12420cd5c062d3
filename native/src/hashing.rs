//! Salted digests of the blocks of a buffer, many in one call and without the GIL (docs/adr/0007).
//!
//! Only for algorithms that the processor has instructions for: there a block takes so little that calling OpenSSL for
//! each costs as much again. Without them OpenSSL's own code is the faster, and hashlib is used. SHA-256, which is what
//! most volumes have, is in `sha256pair`; the others are the sha1 and sha2 crates'.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256};

use crate::failure::Failure;
#[cfg(target_arch = "x86_64")]
use crate::sha256pair;
use crate::span::Span;

type Kernel = fn(&[u8], usize, &[u8], bool) -> Vec<u8>;

/// The digests of the blocks of `content`, one directly after the other: H(salt, block), or H(block, salt) unless
/// `salt_first`. ValueError when the content is not whole blocks, or the algorithm is not sha1, sha224 or sha256.
#[pyfunction]
pub fn block_digests<'py>(
    py: Python<'py>,
    content: &Bound<'py, PyAny>,
    block_bytes: usize,
    salt: &[u8],
    algorithm: &str,
    salt_first: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let buffer = PyUntypedBuffer::get(content)?;
    let refuse = |failure: Failure| failure.into_pyerr(py, "");
    let span = Span::of(&buffer, false).map_err(refuse)?;
    let kernel = kernel(algorithm, block_bytes).ok_or_else(|| refuse(Failure::Misuse("the algorithm is not known")))?;
    if block_bytes == 0 || span.bytes().len() % block_bytes != 0 {
        return Err(refuse(Failure::Misuse("the content is not whole blocks")));
    }
    let salt = salt.to_vec();
    let found = py.detach(move || kernel(span.bytes(), block_bytes, &salt, salt_first));
    Ok(PyBytes::new(py, &found))
}

/// The algorithms that `block_digests` is fast with on this processor.
#[pyfunction]
pub fn fast_digests() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    if sha256pair::available() {
        return vec!["sha1", "sha224", "sha256"];
    }
    vec![]
}

fn kernel(algorithm: &str, block_bytes: usize) -> Option<Kernel> {
    #[cfg(target_arch = "x86_64")]
    if algorithm == "sha256" && block_bytes >= sha256pair::CHUNK && sha256pair::available() {
        return Some(sha256pair::digests);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = block_bytes;
    Some(match algorithm {
        "sha1" => digests::<Sha1>,
        "sha224" => digests::<Sha224>,
        "sha256" => digests::<Sha256>,
        _ => return None,
    })
}

fn digests<D: Digest + Clone>(content: &[u8], block_bytes: usize, salt: &[u8], salt_first: bool) -> Vec<u8> {
    let (head, tail) = if salt_first { (salt, &[][..]) } else { (&[][..], salt) };
    // To be copied for every block; it has taken the salt already where that comes first.
    let seed = D::new_with_prefix(head);
    let mut found = Vec::with_capacity(content.len() / block_bytes * <D as Digest>::output_size());
    for block in content.chunks_exact(block_bytes) {
        let mut state = seed.clone();
        state.update(block);
        state.update(tail);
        found.extend_from_slice(&state.finalize());
    }
    found
}
