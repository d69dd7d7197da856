//! Speaks a callee's part step by step, listening to the other side. Pure.

use std::{collections::VecDeque, time::Duration};

use super::{
    callee::{MIN_PAUSE, MIN_WAIT, Starts, Utterance, Voice},
    tone::Saying,
};

/// What comes over the line in one 20 ms step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    Silence,
    Speech(Saying),
    /// A key is pressed; the voice is silent meanwhile.
    Key(char),
    /// The person has hung up.
    Gone,
}

/// Speaks a [`Voice`] step by step, listening to the other side.
#[derive(Debug)]
pub struct Mouth {
    waiting: VecDeque<Utterance>,
    /// What is being said, and until when.
    speaks: Option<(Saying, Duration)>,
    key: Option<char>,
    hangs_up: Option<Starts>,
    /// When the other side last changed between speaking and being quiet.
    other: Other,
    /// The end of our own last utterance (or the start of the call).
    quiet_since: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Other {
    NotHeardYet,
    SpeakingSince(Duration),
    QuietSince(Duration),
}

impl Mouth {
    /// A mouth that will say all of `voice`; `now` is counted from any fixed moment.
    pub fn new(voice: &Voice, now: Duration) -> Self {
        Self {
            waiting: voice.utterances.iter().copied().collect(),
            speaks: None,
            key: voice.key,
            hangs_up: voice.hangs_up,
            other: Other::NotHeardYet,
            quiet_since: now,
        }
    }

    /// The sound of the step that begins at `now`, while the other side is audible or not.
    pub fn step(&mut self, now: Duration, other_is_audible: bool) -> Sound {
        self.listen(now, other_is_audible);
        if let Some((saying, until)) = self.speaks {
            if now < until {
                return Sound::Speech(saying);
            }
            self.fall_silent(now, other_is_audible);
        }
        let Some(next) = self.waiting.front().copied() else {
            if let Some(key) = self.key.take() {
                return Sound::Key(key);
            }
            return match self.hangs_up {
                Some(moment) if self.is_time_for(moment, now) => Sound::Gone,
                Some(_) | None => Sound::Silence,
            };
        };
        if !self.is_time_for(next.starts, now) {
            return Sound::Silence;
        }
        self.waiting.pop_front();
        self.speaks = Some((next.says, now + next.length));
        Sound::Speech(next.says)
    }

    fn listen(&mut self, now: Duration, other_is_audible: bool) {
        self.other = match (self.other, other_is_audible) {
            (Other::NotHeardYet | Other::QuietSince(_), true) => Other::SpeakingSince(now),
            (Other::SpeakingSince(_), false) => Other::QuietSince(now),
            (unchanged, _) => unchanged,
        };
    }

    /// After speaking we want a reply: what was said before or meanwhile does not count as one.
    fn fall_silent(&mut self, now: Duration, other_is_audible: bool) {
        self.speaks = None;
        self.quiet_since = now;
        self.other = if other_is_audible {
            Other::SpeakingSince(now)
        } else {
            Other::NotHeardYet
        };
    }

    fn is_time_for(&self, starts: Starts, now: Duration) -> bool {
        match (starts, self.other) {
            (Starts::AtOnce, _) => true,
            (Starts::InTurn { pause, .. }, Other::QuietSince(since)) => now >= since + pause,
            (Starts::InTurn { or_after, .. }, Other::NotHeardYet) => {
                now >= self.quiet_since + or_after
            }
            (Starts::InTurn { .. }, Other::SpeakingSince(_)) => false,
            (Starts::Interrupting { after }, Other::SpeakingSince(since)) => now >= since + after,
            // The chance to interrupt has passed, or never came.
            (Starts::Interrupting { .. }, Other::QuietSince(since)) => now >= since + MIN_PAUSE,
            (Starts::Interrupting { .. }, Other::NotHeardYet) => now >= self.quiet_since + MIN_WAIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEECH: Sound = Sound::Speech(Saying::SmallTalk);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn sounds(mouth: &mut Mouth, from: u64, to: u64, other_is_audible: bool) -> Vec<Sound> {
        (from..to)
            .step_by(20)
            .map(|now| mouth.step(ms(now), other_is_audible))
            .collect()
    }

    #[test]
    fn a_person_speaks_in_turn_and_waits_for_a_reply() {
        let utterance = Utterance {
            starts: Starts::InTurn {
                pause: ms(40),
                or_after: ms(2_000),
            },
            length: ms(60),
            says: Saying::SmallTalk,
        };
        let voice = Voice {
            utterances: vec![utterance; 2],
            key: None,
            hangs_up: None,
        };
        let mut mouth = Mouth::new(&voice, ms(0));
        assert!(
            sounds(&mut mouth, 0, 200, true)
                .iter()
                .all(|s| *s == Sound::Silence)
        );
        let after_greeting = sounds(&mut mouth, 200, 400, false);
        let n_speech = after_greeting.iter().filter(|s| **s == SPEECH).count();
        assert_eq!(n_speech, 3, "{after_greeting:?}");
        assert_eq!(after_greeting[1], Sound::Silence);
        assert_eq!(after_greeting[2], SPEECH);
        assert!(
            sounds(&mut mouth, 400, 2_200, false)
                .iter()
                .all(|s| *s == Sound::Silence)
        );
        assert!(sounds(&mut mouth, 2_200, 2_400, false).contains(&SPEECH));
    }

    #[test]
    fn a_person_who_hangs_up_does_so_while_the_agent_speaks() {
        let voice = Voice {
            utterances: vec![],
            key: None,
            hangs_up: Some(Starts::Interrupting { after: ms(100) }),
        };
        let mut mouth = Mouth::new(&voice, ms(0));
        assert!(!sounds(&mut mouth, 0, 300, false).contains(&Sound::Gone));
        assert!(sounds(&mut mouth, 300, 600, true).contains(&Sound::Gone));
    }

    #[test]
    fn a_key_is_pressed_once_as_soon_as_all_is_said() {
        let voice = Voice {
            utterances: vec![Utterance {
                starts: Starts::AtOnce,
                length: ms(60),
                says: Saying::DoNotCall,
            }],
            key: Some('9'),
            hangs_up: None,
        };
        let mut mouth = Mouth::new(&voice, ms(0));
        let heard = sounds(&mut mouth, 0, 120, false);
        let mut expected = vec![Sound::Speech(Saying::DoNotCall); 3];
        expected.extend([Sound::Key('9'), Sound::Silence, Sound::Silence]);
        assert_eq!(heard, expected);
    }
}
