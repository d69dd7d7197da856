//! Sound: G.711 mu-law, the tones that stand for voices, and telling a voice from silence.
//!
//! Audio is all that passes from a callee to an agent, through whatever dialer is between them. So the
//! one thing that an agent has to understand is said at a pitch of its own: see [`Saying`].

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

/// What a callee says, which is told by the pitch of the voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saying {
    /// Anything that an agent answers with its next line.
    SmallTalk,
    /// That this was the last call: do not call me again.
    DoNotCall,
}

impl Saying {
    /// The pitch of the voice. Both are whole periods in 20 ms, so frames join without a click, and
    /// neither is an overtone that the other could be taken for.
    pub fn hertz(self) -> u32 {
        match self {
            Self::SmallTalk => 250,
            Self::DoNotCall => 500,
        }
    }
}

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

/// Whether this stretch of mu-law is said at that pitch.
pub fn is_said_in_mulaw(saying: Saying, audio: &[u8]) -> bool {
    let samples = audio.iter().map(|byte| DECODED[usize::from(*byte)]);
    is_tone(saying.hertz(), LINE_RATE, samples)
}

/// Whether this stretch of little-endian 16-bit samples at `rate` per second is said at that pitch.
pub fn is_said_in_pcm(saying: Saying, rate: usize, audio: &[u8]) -> bool {
    let samples = audio
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    is_tone(saying.hertz(), rate, samples)
}

/// Whether most of the sound's energy is at that pitch (Goertzel's algorithm).
fn is_tone(hertz: u32, rate: usize, samples: impl Iterator<Item = i16>) -> bool {
    let turn = 2.0 * (TAU * f64::from(hertz) / rate as f64).cos();
    let (mut before, mut last) = (0.0, 0.0);
    let (mut energy, mut n_samples) = (0.0, 0.0);
    for sample in samples.map(f64::from) {
        (before, last) = (last, sample + turn * last - before);
        energy += sample * sample;
        n_samples += 1.0;
    }
    let at_pitch = last * last + before * before - turn * last * before;
    // A pure tone gives all of its energy times half the number of samples.
    at_pitch > energy * n_samples / 4.0
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

    #[test]
    fn what_is_said_is_told_by_its_pitch_on_any_line() {
        for said in [Saying::SmallTalk, Saying::DoNotCall] {
            // Off the beat, as audio comes that was cut anew on its way.
            let mulaw = &mulaw_tone(said.hertz(), 2 * FRAME_BYTES)[37..][..FRAME_BYTES];
            let pcm = &pcm_tone(said.hertz(), 16_000, 640)[74..][..640];
            for heard in [Saying::SmallTalk, Saying::DoNotCall] {
                assert_eq!(is_said_in_mulaw(heard, mulaw), heard == said);
                assert_eq!(is_said_in_pcm(heard, 16_000, pcm), heard == said);
            }
        }
        let square: Vec<u8> = [[0x10; 16], [0x90; 16]].concat().repeat(5);
        assert!(is_said_in_mulaw(Saying::SmallTalk, &square));
        assert!(!is_said_in_mulaw(Saying::DoNotCall, &square));
        assert!(!is_said_in_mulaw(
            Saying::DoNotCall,
            &[SILENCE; FRAME_BYTES]
        ));
    }
}
