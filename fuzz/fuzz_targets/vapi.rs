//! A call with Vapi: one message per line.
#![no_main]

#[path = "../feed.rs"]
mod feed;

use feed::{Line, messages};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    messages(Line::Vapi, bytes);
});
