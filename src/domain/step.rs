//! What a campaign does for each contact.

use std::{num::NonZeroU16, time::Duration};

use super::{
    enrollment::Enrollment,
    ids::AgentVendor,
    machine::{MachinePolicy, Message, OnMachine, Speech},
    text::Template,
    transfer::TransferPolicy,
};

/// The longest text that the carrier speaks, in characters. Its whole document may have 4,000, and each
/// character may need six of them.
const LONGEST_SPEECH: usize = 600;

/// One thing to do. A campaign has them in order; the enrollment's cursor says which is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Phone the contact and join the call to a voice agent.
    VoiceCall(VoiceCall),
}

/// What a voice agent is told for a call, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceCall {
    /// What the agent is to do; empty keeps what the agent is configured with.
    pub prompt: Template,
    /// What the agent says first; empty keeps what the agent is configured with.
    pub first_message: Template,
    /// A language code of the agent vendor, such as `en`; none keeps the agent's own.
    pub language: Option<String>,
    /// A voice of the agent vendor; none keeps the agent's own.
    pub voice_id: Option<String>,
    /// Whose agent speaks; none takes the vendor that the installation prefers.
    pub agent_vendor: Option<AgentVendor>,
    /// Which agent speaks; none takes the installation's.
    pub agent_id: Option<String>,
    /// How long it may ring, between [`VoiceCall::RING`] bounds.
    pub ring_timeout: Duration,
    /// How long the call may last from the answer.
    pub max_duration: Duration,
    /// The key by which the callee gets off the list, one of `0-9*#`; none when no key does.
    pub opt_out_key: Option<char>,
    /// How long a callee may hear nobody, and what they hear then.
    pub silence: Silence,
    /// Whether the carrier records both sides of each call.
    pub is_recorded: bool,
    /// For how many days the carrier keeps a recording; none keeps it.
    pub recording_days: Option<NonZeroU16>,
    /// What is done about machines that answer.
    pub machines: MachinePolicy,
    /// To whom callees are handed over; none where nobody takes them.
    pub transfer: Option<TransferPolicy>,
    /// The language in which the carrier speaks our own sentences, such as `en-GB`; none takes the
    /// carrier's.
    pub spoken_language: Option<String>,
}

/// How long a callee may hear nobody, and what they hear then (F-36, F-37).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// How long the agent may take to say its first word, from the answer or from the callee's last
    /// one, and twice as long at most; none waits for ever.
    pub first_words_within: Option<Duration>,
    /// How long neither side may say anything; none waits for ever.
    pub both_within: Option<Duration>,
    /// What the carrier says to a callee who is left without an agent, before it hangs up; none hangs
    /// up at once.
    pub sentence: Option<Template>,
}

impl Default for Silence {
    fn default() -> Self {
        Self {
            first_words_within: Some(Self::FIRST_WORDS.1),
            both_within: Some(Self::BOTH.1),
            sentence: Template::parse(Self::SENTENCE).ok(),
        }
    }
}

impl Silence {
    /// Least, usual and greatest time to the agent's first word.
    pub const FIRST_WORDS: (Duration, Duration, Duration) = (
        Duration::from_secs(2),
        Duration::from_secs(6),
        Duration::from_secs(60),
    );

    /// Least, usual and greatest time in which nobody says anything.
    pub const BOTH: (Duration, Duration, Duration) = (
        Duration::from_secs(10),
        Duration::from_secs(60),
        Duration::from_secs(600),
    );

    /// What a callee hears who is left without an agent, unless a campaign has another sentence.
    pub const SENTENCE: &str = "We are sorry, this call cannot be continued. Goodbye.";

    /// The longest sentence, in characters.
    pub const LONGEST_SENTENCE: usize = 500;
}

/// How long the carrier may take to speak a text: slow speech, and values longer than their names.
pub fn speaking_time(text: &Template) -> Duration {
    const A_CHARACTER: Duration = Duration::from_millis(120);
    A_CHARACTER * u32::try_from(text.source().chars().count()).unwrap_or(u32::MAX / 1000)
}

impl VoiceCall {
    /// Least, usual and greatest ringing time. Below 15 s people have no fair chance to answer
    /// (F-73); 600 s is the carrier's own limit.
    pub const RING: (Duration, Duration, Duration) = (
        Duration::from_secs(15),
        Duration::from_secs(25),
        Duration::from_secs(600),
    );

    /// Least, usual and greatest length of a call.
    pub const LENGTH: (Duration, Duration, Duration) = (
        Duration::from_secs(10),
        Duration::from_secs(900),
        Duration::from_secs(14_400),
    );

    /// The most days that may be asked for.
    pub const MOST_RECORDING_DAYS: u16 = 3650;

    /// What the carrier says in our place: `message` with the values of `enrollment`.
    pub fn speech(&self, message: &Message, enrollment: &Enrollment) -> Speech {
        match message {
            Message::Audio(url) => Speech::Audio(url.clone()),
            Message::Text(text) => self.spoken(text, enrollment),
        }
    }

    /// `text` with the values of `enrollment`, as the carrier speaks it.
    pub fn spoken(&self, text: &Template, enrollment: &Enrollment) -> Speech {
        let text = text.render(|name| enrollment.field(name));
        Speech::Text {
            // What a list has in its columns may be of any length; the carrier's document may not.
            text: text.chars().take(LONGEST_SPEECH).collect(),
            language: self.spoken_language.clone(),
        }
    }

    /// How long a message on a machine may take; nothing where none is left.
    pub fn message_time(&self) -> Duration {
        match &self.machines.on_machine {
            OnMachine::LeaveMessage { message } => match message {
                Message::Text(text) => speaking_time(text),
                Message::Audio(_) => Message::LONGEST_AUDIO,
            },
            OnMachine::HangUp | OnMachine::CarryOn => Duration::ZERO,
        }
    }

    /// The key by which callees get off the list unless a campaign has another.
    pub const OPT_OUT_KEY: char = '9';
}
