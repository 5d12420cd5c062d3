//! Reed-Solomon parity of interleaved codewords: RS(255, 255 - roots) over GF(256), polynomial 0x11d, first root 1.
//!
//! The shift register of the textbook, for `TILE` codewords side by side: what is a byte there is a row of bytes here,
//! one of each codeword, so that every step is the same for all of them. A product with a constant is two look-ups, one
//! for each half of the byte, which processors with AVX2 do for 32 bytes at a time. The model is `bootpath.formats.verity.fec`.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::Failure;
use crate::span::Span;

const CODEWORD: usize = 255;
const MOST_ROOTS: usize = 24;
const POLYNOMIAL: u8 = 0x1d; // x^8 is x^4 + x^3 + x^2 + 1
const TILE: usize = 1024; // with 24 roots 24 KiB, which the nearest cache can hold

type Row = [u8; TILE];
type AddProduct = fn(&mut [u8], &[u8], &Table);

/// The products of one constant with 0 to 15, and with 16 times that.
#[derive(Clone, Copy)]
struct Table {
    low: [u8; 16],
    high: [u8; 16],
}

/// The parity of as many codewords as a row of `message` is long: it is 255 - roots rows, and codeword c has byte c of
/// each. Returns the `roots` bytes of codeword 0, then those of codeword 1, and so on. ValueError when `roots` is not 2
/// to 24, or the message not that many rows.
#[pyfunction]
pub fn rs_parity<'py>(py: Python<'py>, message: &Bound<'py, PyAny>, roots: usize) -> PyResult<Bound<'py, PyBytes>> {
    let buffer = PyUntypedBuffer::get(message)?;
    let refuse = |failure: Failure| failure.into_pyerr(py, "");
    let span = Span::of(&buffer, false).map_err(refuse)?;
    if !(2..=MOST_ROOTS).contains(&roots) || span.bytes().len() % (CODEWORD - roots) != 0 {
        return Err(refuse(Failure::Misuse("the message is not 255 - roots rows")));
    }
    let found = py.detach(move || parity(span.bytes(), roots));
    Ok(PyBytes::new(py, &found))
}

fn parity(message: &[u8], roots: usize) -> Vec<u8> {
    let width = message.len() / (CODEWORD - roots);
    let tables = generator(roots).map(table);
    let add_product = fastest();
    let mut register = vec![[0; TILE]; roots];
    let mut found = vec![0; width * roots];
    for (index, out) in found.chunks_mut(TILE * roots).enumerate() {
        let start = index * TILE;
        let count = out.len() / roots;
        let symbols = message.chunks_exact(width).map(|row| &row[start..start + count]);
        tile(symbols, &tables[..roots], add_product, &mut register, out);
    }
    found
}

/// The parity of the codewords whose symbols are given, one row after the other.
fn tile<'a>(
    rows: impl Iterator<Item = &'a [u8]>,
    tables: &[Table],
    add_product: AddProduct,
    register: &mut [Row],
    out: &mut [u8],
) {
    let roots = tables.len();
    register.fill([0; TILE]);
    // What comes out of the register next is at `head`, the others follow it around.
    let mut head = 0;
    let mut feedback = [0; TILE];
    for symbols in rows {
        let feedback = &mut feedback[..symbols.len()];
        for ((sum, first), symbol) in feedback.iter_mut().zip(&mut register[head]).zip(symbols) {
            *sum = *first ^ symbol;
            *first = 0;
        }
        for (index, table) in tables.iter().enumerate() {
            add_product(&mut register[(head + 1 + index) % roots], feedback, table);
        }
        head = (head + 1) % roots;
    }
    for (codeword, bytes) in out.chunks_exact_mut(roots).enumerate() {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = register[(head + index) % roots][codeword];
        }
    }
}

fn fastest() -> AddProduct {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function was compiled for.
        return |sum, factor, table| unsafe { add_product_avx2(sum, factor, table) };
    }
    add_product
}

/// Add to each byte of `sum` the product of the constant with that of `factor`, as far as both go.
fn add_product(sum: &mut [u8], factor: &[u8], table: &Table) {
    for (total, byte) in sum.iter_mut().zip(factor) {
        *total ^= table.low[usize::from(byte & 15)] ^ table.high[usize::from(byte >> 4)];
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn add_product_avx2(sum: &mut [u8], factor: &[u8], table: &Table) {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256, _mm256_set1_epi8,
        _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256, _mm_loadu_si128,
    };

    let whole = factor.len().min(sum.len()) / 32 * 32;
    // SAFETY: loads and stores stay inside their arrays and chunks, and need no alignment.
    unsafe {
        let low = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.low.as_ptr().cast()));
        let high = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.high.as_ptr().cast()));
        let nibble = _mm256_set1_epi8(15);
        for (total, bytes) in sum[..whole].chunks_exact_mut(32).zip(factor[..whole].chunks_exact(32)) {
            let place: *mut __m256i = total.as_mut_ptr().cast();
            let value = _mm256_loadu_si256(bytes.as_ptr().cast());
            let first = _mm256_shuffle_epi8(low, _mm256_and_si256(value, nibble));
            let second = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi64::<4>(value), nibble));
            let product = _mm256_xor_si256(first, second);
            _mm256_storeu_si256(place, _mm256_xor_si256(_mm256_loadu_si256(place), product));
        }
    }
    add_product(&mut sum[whole..], &factor[whole..], table);
}

/// The coefficients of the generator, that of the highest power first; its own, of x^roots, is one.
fn generator(roots: usize) -> [u8; MOST_ROOTS] {
    let mut powers = vec![0u8; roots + 1];
    powers[0] = 1;
    let mut root = 1;
    for degree in 0..roots {
        // times (x - root)
        for power in (0..=degree + 1).rev() {
            let below = if power > 0 { powers[power - 1] } else { 0 };
            powers[power] = below ^ product(powers[power], root);
        }
        root = double(root);
    }
    let mut found = [0; MOST_ROOTS];
    for (place, coefficient) in found.iter_mut().zip(powers[..roots].iter().rev()) {
        *place = *coefficient;
    }
    found
}

fn table(constant: u8) -> Table {
    let products = |step: u8| std::array::from_fn(|index| product(constant, index as u8 * step));
    Table {
        low: products(1),
        high: products(16),
    }
}

fn double(value: u8) -> u8 {
    (value << 1) ^ (POLYNOMIAL & 0u8.wrapping_sub(value >> 7))
}

fn product(mut left: u8, right: u8) -> u8 {
    let mut sum = 0;
    for bit in 0..8 {
        if right >> bit & 1 == 1 {
            sum ^= left;
        }
        left = double(left);
    }
    sum
}
