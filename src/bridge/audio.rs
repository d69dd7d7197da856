//! Telephone audio: mu-law (G.711), 8 kHz, mono, as base64 text.
//!
//! Pure. Lengths are told from the text alone, and long audio is cut without decoding it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::audio::mulaw::{self, SILENCE};

/// Samples of one 20 ms frame; in mu-law a sample is a byte.
pub const FRAME_BYTES: usize = 160;

/// How long one frame lasts.
pub const FRAME: Duration = Duration::from_millis(20);

/// The least number of whole frames that is also whole base64: 480 bytes, 60 ms, in characters.
/// Three bytes are four characters, so a cut at a multiple of this needs no decoding.
const CUT_CHARS: usize = FRAME_BYTES * 3 / 3 * 4;

/// What a sample of mu-law lasts.
const SAMPLE: Duration = Duration::from_micros(125);

/// A frame of silence.
pub const SILENCE_FRAME: &str = concat!(
    "////////////////////////////////////////////////////////////////////////",
    "////////////////////////////////////////////////////////////////////////",
    "////////////////////////////////////////////////////////////////////",
    "/w=="
);

/// How long base64 audio plays.
pub fn duration(payload: &str) -> Duration {
    SAMPLE * u32::try_from(decoded_len(payload)).unwrap_or(u32::MAX)
}

/// Whether somebody speaks in base64 audio, by its first 15 ms; line noise does not count.
pub fn is_loud(payload: &str) -> bool {
    const LOOK_CHARS: usize = 160;
    const VOICE_LEVEL: u32 = 500;
    let n_chars = payload.len().min(LOOK_CHARS) / 4 * 4;
    let mut samples = [SILENCE; LOOK_CHARS / 4 * 3];
    let Ok(n) = STANDARD.decode_slice(&payload.as_bytes()[..n_chars], &mut samples) else {
        return false;
    };
    let sum: u32 = samples[..n]
        .iter()
        .map(|byte| u32::from(mulaw::decode(*byte).unsigned_abs()))
        .sum();
    sum.checked_div(u32::try_from(n).unwrap_or(u32::MAX))
        .is_some_and(|level| level > VOICE_LEVEL)
}

fn decoded_len(payload: &str) -> usize {
    payload.trim_end_matches('=').len() * 3 / 4
}

/// Cuts base64 audio into parts of at most `longest` (but not below 60 ms), each of whole frames
/// except the last. Audio that is short enough stays whole.
pub fn parts(payload: &str, longest: Duration) -> impl Iterator<Item = &str> {
    let cut = FRAME * 3;
    let n_cuts = (longest.as_micros() / cut.as_micros()).max(1);
    let part_chars = CUT_CHARS * usize::try_from(n_cuts).unwrap_or(usize::MAX / CUT_CHARS);
    let is_short = duration(payload) <= longest || !payload.is_ascii();
    let step = if is_short { payload.len() } else { part_chars };
    (0..payload.len())
        .step_by(step.max(1))
        .map(move |start| &payload[start..payload.len().min(start + step)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // proves F-29
    #[test]
    fn a_voice_is_told_from_silence_and_from_what_is_no_audio() {
        assert!(!is_loud(SILENCE_FRAME));
        assert!(is_loud(&STANDARD.encode([0x55; FRAME_BYTES])));
        for nothing in ["", "a", "no audio at all", "=====", "é"] {
            assert!(!is_loud(nothing), "{nothing:?}");
        }
    }

    // proves F-30
    #[test]
    fn a_frame_of_silence_is_216_characters() {
        assert_eq!(SILENCE_FRAME.len(), 216);
        assert_eq!(
            STANDARD.decode(SILENCE_FRAME).unwrap(),
            [SILENCE; FRAME_BYTES]
        );
        assert_eq!(duration(SILENCE_FRAME), FRAME);
    }

    proptest! {
        // proves F-30
        #[test]
        fn parts_join_to_the_whole_and_are_whole_frames(n_bytes in 1usize..48_000) {
            let bytes: Vec<u8> = (0..n_bytes).map(|n| (n % 251) as u8).collect();
            let payload = STANDARD.encode(&bytes);
            prop_assert_eq!(duration(&payload), SAMPLE * n_bytes as u32);
            let longest = Duration::from_millis(200);
            let parts: Vec<Vec<u8>> = parts(&payload, longest)
                .map(|part| STANDARD.decode(part).unwrap())
                .collect();
            prop_assert_eq!(parts.concat(), bytes);
            let (last, others) = parts.split_last().unwrap();
            prop_assert!(others.iter().all(|part| part.len() % FRAME_BYTES == 0));
            prop_assert!(parts.iter().all(|part| part.len() <= 1600));
            prop_assert!(!last.is_empty());
        }
    }
}
