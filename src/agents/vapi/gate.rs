//! Speech told from silence in an agent's stream.
//!
//! Vapi's stream goes on between utterances, with silence in it. Passed on, the agent would never be done
//! with a turn, and its silence would count as its first word. So silence is let go, except for what
//! belongs to speech: the pauses between words.

use crate::audio::mulaw;

/// Judged at a time: 20 ms.
const BLOCK: usize = 160;

/// How long silence after speech still belongs to it, in blocks: 400 ms.
const PAUSE: u32 = 20;

/// How loud speech is at least, as a mean of samples; what lines hiss is far below.
const VOICE_LEVEL: u32 = 48;

/// What was heard of the stream lately.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Blocks of silence that may still pass.
    n_passing: u32,
    /// The last block that did not: speech begins softer than it is.
    before: Vec<u8>,
}

/// What there is in a piece of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing but silence, of which none passes.
    Nothing,
    /// The end of what was said before.
    Pause,
    /// Speech.
    Speech,
}

impl Gate {
    /// Appends to `out` what is to be heard of the next piece, in mu-law.
    pub fn pass(&mut self, audio: &[u8], out: &mut Vec<u8>) -> Found {
        let mut found = Found::Nothing;
        for block in audio.chunks(BLOCK) {
            if is_voice(block) {
                out.append(&mut self.before);
                self.n_passing = PAUSE;
                found = Found::Speech;
            } else if self.n_passing > 0 {
                self.n_passing -= 1;
                if found == Found::Nothing {
                    found = Found::Pause;
                }
            } else {
                self.before.clear();
                self.before.extend_from_slice(block);
                continue;
            }
            out.extend_from_slice(block);
        }
        found
    }

    /// What was said is void: silence does not belong to it.
    pub fn close(&mut self) {
        self.n_passing = 0;
        self.before.clear();
    }
}

fn is_voice(block: &[u8]) -> bool {
    let sum: u32 = block
        .iter()
        .map(|byte| u32::from(mulaw::decode(*byte).unsigned_abs()))
        .sum();
    sum > VOICE_LEVEL * block.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: u8 = 0x90;

    fn passed(gate: &mut Gate, audio: &[u8]) -> (Found, usize) {
        let mut out = Vec::new();
        let found = gate.pass(audio, &mut out);
        (found, out.len())
    }

    #[test]
    fn silence_passes_only_behind_speech() {
        let mut gate = Gate::default();
        let silence = [mulaw::SILENCE; BLOCK];
        assert_eq!(passed(&mut gate, &silence), (Found::Nothing, 0));
        assert_eq!(
            passed(&mut gate, &[VOICE; BLOCK]),
            (Found::Speech, 2 * BLOCK)
        );
        for _ in 0..PAUSE {
            assert_eq!(passed(&mut gate, &silence), (Found::Pause, BLOCK));
        }
        assert_eq!(passed(&mut gate, &silence), (Found::Nothing, 0));
        // A hiss is no speech.
        assert_eq!(passed(&mut gate, &[0xFD; BLOCK]), (Found::Nothing, 0));
    }

    #[test]
    fn long_pauses_in_a_burst_are_shortened_and_soft_beginnings_kept() {
        let mut gate = Gate::default();
        let second = 50 * BLOCK;
        let silence = vec![mulaw::SILENCE; second];
        let burst = [&silence[..], &[VOICE; 800], &silence, &[VOICE; 100]].concat();
        let pause = PAUSE as usize * BLOCK;
        let expected = BLOCK + 800 + pause + BLOCK + 100;
        assert_eq!(passed(&mut gate, &burst), (Found::Speech, expected));
        gate.close();
        assert_eq!(passed(&mut gate, &silence), (Found::Nothing, 0));
    }
}
