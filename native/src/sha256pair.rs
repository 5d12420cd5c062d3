//! SHA-256 of many blocks, two at a time, with the processor's own instructions (x86 SHA extensions).
//!
//! Each of those instructions needs the result of the one before, and takes longer than the processor needs to begin
//! another: the rounds of two messages are done in turn, in the same time as those of little more than one. Linux does so
//! for its dm-verity and fs-verity since 6.18. Source of the rounds: FIPS 180-4 §6.2.2; of the instructions: Intel SDM
//! volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2. The model is hashlib.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_loadu_si128, _mm_set_epi32, _mm_set_epi64x, _mm_setzero_si128,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi32, _mm_shuffle_epi8,
    _mm_storeu_si128,
};

/// Bytes that the function takes at a time; a block must have as many.
pub const CHUNK: usize = 64;
const DIGEST: usize = 32;

type Words = [u32; 8];

const START: Words = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// Whether this processor has the instructions.
pub fn available() -> bool {
    std::arch::is_x86_feature_detected!("sha")
        && std::arch::is_x86_feature_detected!("ssse3")
        && std::arch::is_x86_feature_detected!("sse4.1")
}

/// As `hashing::block_digests`. The processor has to be `available`, and a block `CHUNK` bytes at least.
pub fn digests(content: &[u8], block_bytes: usize, salt: &[u8], salt_first: bool) -> Vec<u8> {
    assert!(available() && block_bytes >= CHUNK);
    let (head, tail) = if salt_first { (salt, &[][..]) } else { (&[][..], salt) };
    let mut seed = [state(&START)];
    // SAFETY: the processor has the instructions.
    unsafe { compress(&mut seed, [head]) };
    let rest = &head[head.len() / CHUNK * CHUNK..];
    let bits = ((head.len() + block_bytes + tail.len()) as u64) * 8;
    let message = Message {
        seed: seed[0],
        rest,
        tail,
        bits,
    };
    let mut found = Vec::with_capacity(content.len() / block_bytes * DIGEST);
    for pair in content.chunks(2 * block_bytes) {
        let (first, second) = pair.split_at(block_bytes);
        if second.is_empty() {
            message.hash([first], &mut found);
        } else {
            message.hash([first, second], &mut found);
        }
    }
    found
}

/// What the blocks' messages have in common: the state after the salt's whole chunks, the bytes of it that are left to go
/// before the block, those behind the block, and the length of it all.
struct Message<'a> {
    seed: State,
    rest: &'a [u8],
    tail: &'a [u8],
    bits: u64,
}

impl Message<'_> {
    /// Add the digests of N blocks of one size.
    fn hash<const N: usize>(&self, blocks: [&[u8]; N], found: &mut Vec<u8>) {
        let mut states = [self.seed; N];
        let skip = (CHUNK - self.rest.len()) % CHUNK;
        if skip > 0 {
            let firsts = blocks.map(|block| [self.rest, &block[..skip]].concat());
            // SAFETY: see `digests`, here and below.
            unsafe { compress(&mut states, firsts.each_ref().map(Vec::as_slice)) };
        }
        unsafe { compress(&mut states, blocks.map(|block| &block[skip..])) };
        let ends = blocks.map(|block| self.end(&block[skip + (block.len() - skip) / CHUNK * CHUNK..]));
        unsafe { compress(&mut states, ends.each_ref().map(Vec::as_slice)) };
        for state in &states {
            for word in words(state) {
                found.extend_from_slice(&word.to_be_bytes());
            }
        }
    }

    /// §5.1.1: the last bytes of the message, a one bit, zeros, and the length of the message.
    fn end(&self, rest: &[u8]) -> Vec<u8> {
        let mut end = [rest, self.tail, &[0x80]].concat();
        end.resize((end.len() + 8).next_multiple_of(CHUNK) - 8, 0);
        end.extend_from_slice(&self.bits.to_be_bytes());
        end
    }
}

/// The working variables as the instructions want them: a, b, e, f and c, d, g, h, the first in the highest lane.
#[derive(Clone, Copy)]
struct State {
    abef: __m128i,
    cdgh: __m128i,
}

fn state(words: &Words) -> State {
    let [a, b, c, d, e, f, g, h] = words.map(|word| word as i32);
    // SAFETY: every x86-64 processor has SSE2.
    unsafe {
        State {
            abef: _mm_set_epi32(a, b, e, f),
            cdgh: _mm_set_epi32(c, d, g, h),
        }
    }
}

fn words(state: &State) -> Words {
    let mut lanes = [[0; 4]; 2];
    // SAFETY: as above, and the arrays are as long as the registers.
    unsafe {
        _mm_storeu_si128(lanes[0].as_mut_ptr().cast(), state.abef);
        _mm_storeu_si128(lanes[1].as_mut_ptr().cast(), state.cdgh);
    }
    let [[f, e, b, a], [h, g, d, c]] = lanes;
    [a, b, c, d, e, f, g, h]
}

/// All whole chunks of N pieces of one length.
///
/// # Safety
/// The processor must have the instructions.
#[target_feature(enable = "sha,ssse3,sse4.1")]
unsafe fn compress<const N: usize>(states: &mut [State; N], pieces: [&[u8]; N]) {
    let big_endian = _mm_set_epi64x(0x0c0d0e0f_08090a0b, 0x04050607_00010203);
    let mut before = *states;
    let mut schedule = [[_mm_setzero_si128(); 4]; N];
    for start in (0..pieces[0].len() / CHUNK * CHUNK).step_by(CHUNK) {
        let mut now = before;
        for (words, piece) in schedule.iter_mut().zip(pieces) {
            let chunk: *const __m128i = piece[start..start + CHUNK].as_ptr().cast();
            for (index, word) in words.iter_mut().enumerate() {
                *word = _mm_shuffle_epi8(_mm_loadu_si128(chunk.add(index)), big_endian);
            }
        }
        // Written out, since an index that is known only when it runs would put the schedule into memory.
        macro_rules! four_rounds {
            ($quad:expr, $place:literal) => {
                let constants = _mm_loadu_si128(ROUNDS.as_ptr().add(4 * $quad).cast());
                for (state, words) in now.iter_mut().zip(&schedule) {
                    let sum = _mm_add_epi32(words[$place], constants);
                    state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, sum);
                    state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, _mm_shuffle_epi32::<0x0e>(sum));
                }
            };
        }
        macro_rules! four_words {
            ($first:literal, $second:literal, $third:literal, $fourth:literal) => {
                for words in &mut schedule {
                    let sum = _mm_add_epi32(
                        _mm_sha256msg1_epu32(words[$first], words[$second]),
                        _mm_alignr_epi8::<4>(words[$fourth], words[$third]),
                    );
                    words[$first] = _mm_sha256msg2_epu32(sum, words[$fourth]);
                }
            };
        }
        macro_rules! sixteen_rounds {
            ($quad:literal) => {
                four_words!(0, 1, 2, 3);
                four_rounds!($quad, 0);
                four_words!(1, 2, 3, 0);
                four_rounds!($quad + 1, 1);
                four_words!(2, 3, 0, 1);
                four_rounds!($quad + 2, 2);
                four_words!(3, 0, 1, 2);
                four_rounds!($quad + 3, 3);
            };
        }
        four_rounds!(0, 0);
        four_rounds!(1, 1);
        four_rounds!(2, 2);
        four_rounds!(3, 3);
        sixteen_rounds!(4);
        sixteen_rounds!(8);
        sixteen_rounds!(12);
        for (state, new) in before.iter_mut().zip(now) {
            state.abef = _mm_add_epi32(state.abef, new.abef);
            state.cdgh = _mm_add_epi32(state.cdgh, new.cdgh);
        }
    }
    *states = before;
}
