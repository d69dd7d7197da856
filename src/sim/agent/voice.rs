//! The agent's voice: every utterance is two chunks of tone, the first short, as the real service
//! sends them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::sim::{
    config::AudioFormat,
    pace::Pace,
    tone::{mulaw_tone, pcm_tone},
};

/// Audio of one utterance, in base64, ready to send as often as needed.
#[derive(Debug)]
pub struct AgentVoice {
    pub opening: String,
    pub rest: String,
    /// How long both together play.
    pub length: Duration,
}

const AGENT_HERTZ: u32 = 400;
const OPENING: Duration = Duration::from_millis(1_020);
const REST: Duration = Duration::from_millis(2_370);
/// Audible even when people live fast.
const SHORTEST_CHUNK: Duration = Duration::from_millis(100);

impl AgentVoice {
    pub fn new(format: AudioFormat, pace: Pace) -> Self {
        let (opening, rest) = lengths(pace);
        Self {
            opening: STANDARD.encode(tone(format, opening)),
            rest: STANDARD.encode(tone(format, rest)),
            length: opening + rest,
        }
    }
}

/// One utterance as raw audio.
pub fn utterance(format: AudioFormat, pace: Pace) -> Vec<u8> {
    let (opening, rest) = lengths(pace);
    tone(format, opening + rest)
}

fn lengths(pace: Pace) -> (Duration, Duration) {
    (
        pace.shorten_to(OPENING, SHORTEST_CHUNK),
        pace.shorten_to(REST, SHORTEST_CHUNK),
    )
}

fn tone(format: AudioFormat, length: Duration) -> Vec<u8> {
    let millis = length.as_millis() as usize;
    match format {
        AudioFormat::Ulaw8000 => mulaw_tone(AGENT_HERTZ, millis * 8),
        AudioFormat::Pcm16000 => pcm_tone(AGENT_HERTZ, 16_000, millis * 16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_utterance_is_lifelike_at_real_time_and_audible_when_fast() {
        let voice = AgentVoice::new(AudioFormat::Pcm16000, Pace::new(1.0));
        assert_eq!(STANDARD.decode(&voice.opening).unwrap().len(), 32_640);
        let fast = AgentVoice::new(AudioFormat::Ulaw8000, Pace::new(50.0));
        assert_eq!(fast.length, Duration::from_millis(200));
    }
}
