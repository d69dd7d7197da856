//! Bytes off the wire, in pieces: the first byte says which line, the second how long the pieces are.
#![no_main]

#[path = "../feed.rs"]
mod feed;

use feed::{LINES, socket};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let [line, cut, bytes @ ..] = bytes {
        let line = LINES[usize::from(*line) % LINES.len()];
        socket(line, bytes, usize::from(*cut) + 1);
    }
});
