//! Memory that Python lends.

use pyo3::buffer::PyUntypedBuffer;

use crate::failure::Failure;

/// Memory of a Python buffer, used without the GIL while the buffer is exported.
pub struct Span(*mut u8, usize);

// SAFETY: the buffer outlives the call (its owner is on the caller's stack), and Python does not move exported memory.
unsafe impl Send for Span {}

impl Span {
    /// Of a contiguous buffer, which has to stay exported for as long; a writable one to `write`.
    pub fn of(buffer: &PyUntypedBuffer, write: bool) -> Result<Self, Failure> {
        if !buffer.is_c_contiguous() || (write && buffer.readonly()) {
            return Err(Failure::Misuse("the buffer is not contiguous, or not writable"));
        }
        Ok(Span(buffer.buf_ptr().cast(), buffer.len_bytes()))
    }

    /// To be read.
    pub fn bytes(&self) -> &[u8] {
        // A buffer of no bytes may have no address.
        if self.1 == 0 {
            return &[];
        }
        // SAFETY: see Send; a caller that changes the buffer meanwhile gets what it wrote.
        unsafe { std::slice::from_raw_parts(self.0, self.1) }
    }

    /// To be written, when it was asked for so.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        if self.1 == 0 {
            return &mut [];
        }
        // SAFETY: as above, and the buffer is writable.
        unsafe { std::slice::from_raw_parts_mut(self.0, self.1) }
    }
}
