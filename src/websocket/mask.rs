//! Masking: exclusive-or with a key of four bytes, over and over.

use super::MaskKey;

/// Masks `bytes`, or takes the mask off. A word at a time, which the compiler turns into vectors.
pub(super) fn apply(key: MaskKey, bytes: &mut [u8]) {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
