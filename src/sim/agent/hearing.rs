//! Hearing: tells from the incoming audio when the caller begins and stops to speak, and whether it
//! was that they want no more calls. Pure.

use std::time::Duration;

use crate::sim::{
    config::AudioFormat,
    pace::Pace,
    tone::{Saying, is_said_in_mulaw, is_said_in_pcm, is_voice_in_mulaw, is_voice_in_pcm},
};

/// A change in what the caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    SpeechBegan,
    SpeechEnded(Saying),
}

/// Listens to one conversation; time is that of the audio, not of its arrival.
#[derive(Debug)]
pub struct Hearing {
    format: AudioFormat,
    ends_after: Duration,
    is_speaking: bool,
    /// How long the opposite of the present state has been heard.
    contrary: Duration,
    /// Pieces of the present speech, and how many of them ask for no more calls.
    n_pieces: u32,
    n_asking: u32,
}

const BEGINS_AFTER: Duration = Duration::from_millis(60);
const LIFELIKE_END: Duration = Duration::from_millis(700);
const SHORTEST_END: Duration = Duration::from_millis(160);
/// Audio is judged in pieces no longer than this.
const PIECE_MS: usize = 20;

impl Hearing {
    pub fn new(format: AudioFormat, pace: Pace) -> Self {
        Self {
            format,
            ends_after: pace.shorten_to(LIFELIKE_END, SHORTEST_END),
            is_speaking: false,
            contrary: Duration::ZERO,
            n_pieces: 0,
            n_asking: 0,
        }
    }

    /// Listens to the next stretch of audio, of any length.
    pub fn listen(&mut self, audio: &[u8]) -> Vec<Heard> {
        let piece_bytes = PIECE_MS * self.format.bytes_per_ms();
        audio
            .chunks(piece_bytes)
            .filter_map(|piece| self.listen_to_piece(piece))
            .collect()
    }

    fn listen_to_piece(&mut self, piece: &[u8]) -> Option<Heard> {
        let is_voice = match self.format {
            AudioFormat::Ulaw8000 => is_voice_in_mulaw(piece),
            AudioFormat::Pcm16000 => is_voice_in_pcm(piece),
        };
        if is_voice {
            self.n_pieces += 1;
            self.n_asking += u32::from(self.asks(piece));
        }
        if is_voice == self.is_speaking {
            self.contrary = Duration::ZERO;
            if !is_voice {
                self.forget();
            }
            return None;
        }
        let micros = piece.len() * 1_000 / self.format.bytes_per_ms();
        self.contrary += Duration::from_micros(micros as u64);
        let limit = if self.is_speaking {
            self.ends_after
        } else {
            BEGINS_AFTER
        };
        if self.contrary < limit {
            return None;
        }
        self.is_speaking = is_voice;
        self.contrary = Duration::ZERO;
        Some(if is_voice {
            Heard::SpeechBegan
        } else {
            Heard::SpeechEnded(self.forget())
        })
    }

    fn asks(&self, piece: &[u8]) -> bool {
        match self.format {
            AudioFormat::Ulaw8000 => is_said_in_mulaw(Saying::DoNotCall, piece),
            AudioFormat::Pcm16000 => is_said_in_pcm(Saying::DoNotCall, 16_000, piece),
        }
    }

    /// What the speech said that is over now.
    fn forget(&mut self) -> Saying {
        let asks = self.n_asking > self.n_pieces / 2;
        (self.n_pieces, self.n_asking) = (0, 0);
        if asks {
            Saying::DoNotCall
        } else {
            Saying::SmallTalk
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tone::{SILENCE, mulaw_tone, pcm_tone};

    #[test]
    fn speech_begins_with_voice_and_ends_after_a_pause() {
        let mut hearing = Hearing::new(AudioFormat::Ulaw8000, Pace::new(20.0));
        let voice = mulaw_tone(250, 160);
        let silence = [SILENCE; 160];
        assert_eq!(hearing.listen(&silence), []);
        assert_eq!(hearing.listen(&voice), []);
        assert_eq!(
            hearing.listen(&[voice.clone(), voice.clone()].concat()),
            [Heard::SpeechBegan]
        );
        assert_eq!(hearing.listen(&silence.repeat(7)), []);
        assert_eq!(hearing.listen(&voice), []);
        assert_eq!(
            hearing.listen(&silence.repeat(8)),
            [Heard::SpeechEnded(Saying::SmallTalk)]
        );
    }

    #[test]
    fn who_asks_for_no_more_calls_is_understood_and_only_then() {
        for format in [AudioFormat::Ulaw8000, AudioFormat::Pcm16000] {
            let mut hearing = Hearing::new(format, Pace::new(20.0));
            let mut say = |saying: Saying| {
                let (mut audio, silence) = match format {
                    AudioFormat::Ulaw8000 => (mulaw_tone(saying.hertz(), 8 * 300), SILENCE),
                    AudioFormat::Pcm16000 => (pcm_tone(saying.hertz(), 16_000, 16 * 300), 0),
                };
                audio.resize(audio.len() + format.bytes_per_ms() * 200, silence);
                hearing.listen(&audio)
            };
            for saying in [Saying::DoNotCall, Saying::SmallTalk, Saying::DoNotCall] {
                assert_eq!(
                    say(saying),
                    [Heard::SpeechBegan, Heard::SpeechEnded(saying)]
                );
            }
        }
    }

    #[test]
    fn linear_samples_are_heard_too() {
        let mut hearing = Hearing::new(AudioFormat::Pcm16000, Pace::new(20.0));
        let mut audio = pcm_tone(250, 16_000, 3_200);
        audio.resize(audio.len() + 32 * 200, 0);
        assert_eq!(
            hearing.listen(&audio),
            [Heard::SpeechBegan, Heard::SpeechEnded(Saying::SmallTalk)]
        );
    }
}
