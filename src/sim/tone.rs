//! Sound: G.711 mu-law, the tones that stand for voices, and telling a voice from silence.

use std::f64::consts::TAU;

/// Mu-law samples per second of a telephone line.
pub const LINE_RATE: usize = 8_000;
/// One frame of a telephone line: 20 ms.
pub const FRAME_BYTES: usize = 160;
/// Mu-law for "no sound".
pub const SILENCE: u8 = 0xff;

/// How loud a voice must be, as a mean absolute 16-bit sample; line noise stays far below.
const VOICE_LEVEL: u32 = 500;
const AMPLITUDE: f64 = 8_000.0;

/// The linear 16-bit value of a mu-law byte.
pub const fn decode(byte: u8) -> i16 {
    let bits = !byte;
    let exponent = (bits >> 4) & 0x07;
    let mantissa = (bits & 0x0f) as i16;
    let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
    if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The mu-law byte nearest to a linear 16-bit value.
pub fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(CLIP) + BIAS.unsigned_abs();
    let exponent = (magnitude.ilog2() - 7) as u8;
    let mantissa = ((magnitude >> (exponent + 3)) & 0x0f) as u8;
    !(sign | (exponent << 4) | mantissa)
}

const BIAS: i16 = 0x84;
const CLIP: u16 = 32_635;

/// `n_samples` of a steady tone in mu-law at 8 kHz.
pub fn mulaw_tone(hertz: u32, n_samples: usize) -> Vec<u8> {
    samples(hertz, LINE_RATE, n_samples).map(encode).collect()
}

/// `n_samples` of a steady tone as little-endian 16-bit samples at `rate` per second.
pub fn pcm_tone(hertz: u32, rate: usize, n_samples: usize) -> Vec<u8> {
    samples(hertz, rate, n_samples)
        .flat_map(i16::to_le_bytes)
        .collect()
}

fn samples(hertz: u32, rate: usize, n_samples: usize) -> impl Iterator<Item = i16> {
    let step = TAU * f64::from(hertz) / rate as f64;
    (0..n_samples).map(move |n| (AMPLITUDE * (step * n as f64).sin()) as i16)
}

/// Whether somebody speaks in this stretch of mu-law.
pub fn is_voice_in_mulaw(audio: &[u8]) -> bool {
    is_loud(audio.iter().map(|byte| DECODED[usize::from(*byte)]))
}

/// Whether somebody speaks in this stretch of little-endian 16-bit samples.
pub fn is_voice_in_pcm(audio: &[u8]) -> bool {
    is_loud(
        audio
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]])),
    )
}

fn is_loud(samples: impl ExactSizeIterator<Item = i16>) -> bool {
    let n_samples = samples.len() as u64;
    let total: u64 = samples.map(|sample| u64::from(sample.unsigned_abs())).sum();
    n_samples > 0 && total / n_samples > u64::from(VOICE_LEVEL)
}

static DECODED: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = decode(byte as u8);
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mu_law_matches_the_reference_points() {
        let decoded = [0x00, 0x80, 0xff, 0x7f, 0xfe, 0x7e, 0xd5, 0x55].map(decode);
        assert_eq!(decoded, [-32124, 32124, 0, 0, 8, -8, 716, -716]);
        let encoded = [100, 1000, 8000, 16000, 32767, -32768, -1000].map(encode);
        assert_eq!(encoded, [0xf2, 0xce, 0xa0, 0x90, 0x80, 0x00, 0x4e]);
    }

    #[test]
    fn a_tone_is_a_voice_and_silence_is_not() {
        assert!(is_voice_in_mulaw(&mulaw_tone(250, FRAME_BYTES)));
        assert!(!is_voice_in_mulaw(&[SILENCE; FRAME_BYTES]));
        assert!(is_voice_in_pcm(&pcm_tone(250, 16_000, 320)));
        assert!(!is_voice_in_pcm(&[0; 640]));
        assert!(!is_voice_in_pcm(&[]));
    }
}
