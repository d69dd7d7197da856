//! Frames that tell whose they are, which, and when they were sent.

/// The rest of 160 bytes of base64 behind the 32 characters that tell whose they are.
const TAIL: &str = concat!(
    "f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/",
    "f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/",
    "f39/f39/f39/f39/f39/fw=="
);

/// What a frame's audio tells: whose it is, its number, and when it was sent.
pub struct Stamp {
    pub call: usize,
    pub number: u32,
    /// In microseconds.
    pub at: u64,
}

impl Stamp {
    /// The stamp of a frame with audio.
    pub fn of(text: &str) -> Option<Self> {
        let end = text.find(&TAIL[..16])?;
        let stamp = text.get(end.checked_sub(32)?..end)?;
        let hex = |range: std::ops::Range<usize>| u64::from_str_radix(stamp.get(range)?, 16).ok();
        Some(Self {
            call: usize::try_from(hex(0..8)?).ok()?,
            number: u32::try_from(hex(8..16)?).ok()?,
            at: hex(16..32)?,
        })
    }
}

/// 20 ms of audio with a stamp in it.
pub fn payload(call: usize, number: u32, at: u64) -> String {
    format!("{call:08x}{number:08x}{at:016x}{TAIL}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_the_benchmark_is_20_ms_and_tells_whose_it_is() {
        let payload = payload(7, 8, 9);
        assert_eq!(payload.len(), 216);
        let text = format!("{{\"payload\":\"{payload}\"}}");
        let stamp = Stamp::of(&text).unwrap();
        assert_eq!((stamp.call, stamp.number, stamp.at), (7, 8, 9));
    }
}
