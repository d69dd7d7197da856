//! Machines that answer: what a detection says, and what is done then.
//!
//! A verdict comes seconds after the answer, after the end, or never. It is a fact beside the outcome:
//! what it leads to depends on the campaign, and on whether a talk with a person is already held.

use std::time::Duration;

use super::{Timestamp, attempt::CallFacts, text::Template};

/// Who or what answered, as the carrier's detection says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// A machine, which still speaks its greeting.
    Machine,
    /// A machine whose greeting is over: it records.
    MachineReady,
    /// A fax.
    Fax,
    /// The detection cannot tell.
    Unknown,
}

/// A verdict of the detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    /// What it says.
    pub by: AnsweredBy,
    /// When.
    pub at: Timestamp,
}

impl Detected {
    /// Whether a verdict says more than what is `known`: one that says something takes the place of one
    /// that says nothing.
    pub fn is_news(known: Option<Self>, by: AnsweredBy) -> bool {
        known.is_none_or(|known| known.by == AnsweredBy::Unknown && by != AnsweredBy::Unknown)
    }
}

/// What a campaign does about machines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachinePolicy {
    /// Whether the carrier listens for machines, and who waits for it.
    pub mode: DetectionMode,
    /// What is done with a machine.
    pub on_machine: OnMachine,
    /// Whether a verdict that says nothing counts as a machine.
    pub unknown_is_machine: bool,
    /// From when on a talk counts as held with a person, whatever is said later.
    pub held: HeldRule,
    /// How the carrier listens.
    pub tuning: Tuning,
}

/// Whether the carrier listens for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DetectionMode {
    /// It does not: a machine is talked to like a person.
    #[default]
    Off,
    /// While the agent already speaks.
    Async,
    /// Before anybody speaks: people hear silence meanwhile.
    BeforeConnecting,
}

/// What is done with a machine. A fax is always hung up on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnMachine {
    /// The call is ended.
    #[default]
    HangUp,
    /// Something is left on it once its greeting is over; then the call is ended.
    LeaveMessage {
        /// What.
        message: Message,
    },
    /// The agent goes on.
    CarryOn,
}

/// What is left on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text, spoken by the carrier.
    Text(Template),
    /// The address of a recording, played by the carrier.
    Audio(String),
}

impl Message {
    /// The longest text, in characters.
    pub const LONGEST_TEXT: usize = 500;
    /// The longest recording that is waited for.
    pub const LONGEST_AUDIO: Duration = Duration::from_secs(180);
}

/// From when on a talk counts as held with a person: a verdict that comes later changes nothing. Where
/// both are set, from the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldRule {
    /// Once the callee has spoken so many times. A greeting is spoken, too.
    pub turns: Option<u32>,
    /// So long after the answer, when an agent is on the line.
    pub after: Option<Duration>,
}

impl HeldRule {
    /// Most machines speak once, some twice.
    pub const TURNS: u32 = 3;
}

impl Default for HeldRule {
    fn default() -> Self {
        Self {
            turns: Some(Self::TURNS),
            after: None,
        }
    }
}

/// How the carrier listens for machines; what is none, it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tuning {
    /// After which time it gives up, and the verdict is unknown.
    pub timeout: Option<Duration>,
    /// Speech that is longer is a machine's.
    pub speech: Option<Duration>,
    /// The silence that ends a speech.
    pub speech_end: Option<Duration>,
    /// The silence at first after which the verdict is unknown.
    pub silence: Option<Duration>,
}

impl Tuning {
    /// [`Tuning::timeout`] where the carrier decides.
    pub const USUAL_TIMEOUT: Duration = Duration::from_secs(30);
    /// Least and greatest [`Tuning::timeout`].
    pub const TIMEOUT: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(59));
    /// Least and greatest [`Tuning::speech`].
    pub const SPEECH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(6));
    /// Least and greatest [`Tuning::speech_end`].
    pub const SPEECH_END: (Duration, Duration) =
        (Duration::from_millis(500), Duration::from_secs(5));
    /// Least and greatest [`Tuning::silence`].
    pub const SILENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
}

/// A detection, as a carrier is asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// Whether the call's instructions are not asked for before the verdict.
    pub is_before_connecting: bool,
    /// Whether the verdict on a machine waits for the end of its greeting.
    pub waits_for_greeting: bool,
    /// How it listens.
    pub tuning: Tuning,
}

/// What the carrier says or plays to somebody in our place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speech {
    /// Spoken.
    Text {
        /// What.
        text: String,
        /// In which language, such as `en-GB`; none takes the carrier's.
        language: Option<String>,
    },
    /// Played from this address.
    Audio(String),
}

/// What follows from what is known of who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response<'a> {
    /// Nothing.
    CarryOn,
    /// The call is ended.
    HangUp,
    /// This is left, and the call is ended.
    Leave(&'a Message),
}

impl MachinePolicy {
    /// What the carrier is asked for; none where it need not listen.
    pub fn detection(&self) -> Option<Detection> {
        let is_before_connecting = match self.mode {
            DetectionMode::Off => return None,
            DetectionMode::Async => false,
            DetectionMode::BeforeConnecting => true,
        };
        Some(Detection {
            is_before_connecting,
            waits_for_greeting: matches!(self.on_machine, OnMachine::LeaveMessage { .. }),
            tuning: self.tuning,
        })
    }

    /// For how long the carrier listens while the agent already speaks; none where it does not.
    pub fn verdict_within(&self) -> Option<Duration> {
        let timeout = self.tuning.timeout.unwrap_or(Tuning::USUAL_TIMEOUT);
        (self.mode == DetectionMode::Async).then_some(timeout)
    }

    /// The text that is left on machines, if one is.
    pub fn text(&self) -> Option<&Template> {
        match &self.on_machine {
            OnMachine::LeaveMessage {
                message: Message::Text(text),
            } => Some(text),
            OnMachine::LeaveMessage {
                message: Message::Audio(_),
            }
            | OnMachine::HangUp
            | OnMachine::CarryOn => None,
        }
    }

    /// Whether a machine answered, as far as this is known and counts.
    pub fn is_machine(&self, facts: &CallFacts) -> bool {
        let Some(detected) = facts.answered_by else {
            return false;
        };
        let is_machine = match detected.by {
            AnsweredBy::Human => false,
            AnsweredBy::Machine | AnsweredBy::MachineReady | AnsweredBy::Fax => true,
            AnsweredBy::Unknown => self.unknown_is_machine,
        };
        is_machine && !self.was_held(facts, detected.at)
    }

    /// Whether a talk with a person was already held at `at` (F-26).
    fn was_held(&self, facts: &CallFacts, at: Timestamp) -> bool {
        let has_spoken = facts.held_at.is_some_and(|held_at| held_at <= at);
        let has_lasted = match (self.held.after, facts.answered_at) {
            (Some(after), Some(answered_at)) => {
                facts.conversation.is_some() && answered_at + after <= at
            }
            _ => false,
        };
        has_spoken || has_lasted
    }

    /// What follows from what is known of who answered.
    pub fn response(&self, facts: &CallFacts) -> Response<'_> {
        let Some(detected) = facts.answered_by.filter(|_| self.is_machine(facts)) else {
            return Response::CarryOn;
        };
        match (detected.by, &self.on_machine) {
            // Whatever is said to a fax, nobody hears it.
            (AnsweredBy::Fax, _) => Response::HangUp,
            (_, OnMachine::HangUp) => Response::HangUp,
            (_, OnMachine::CarryOn) => Response::CarryOn,
            // Its greeting would be spoken over. Only a campaign that was changed meanwhile is told so.
            (AnsweredBy::Machine, OnMachine::LeaveMessage { .. }) => Response::HangUp,
            (_, OnMachine::LeaveMessage { message }) => Response::Leave(message),
        }
    }
}

/// By when a verdict is due that was not told yet; none where it would change nothing any more, or no
/// verdict comes by itself.
pub fn verdict_due(facts: &CallFacts) -> Option<Timestamp> {
    let is_awaited = facts.answered_by.is_none() && facts.held_at.is_none();
    let (answered_at, within) = facts.answered_at.zip(facts.verdict_within)?;
    is_awaited.then_some(answered_at + within)
}

impl AnsweredBy {
    /// The verdict's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Machine => "machine",
            Self::MachineReady => "machineReady",
            Self::Fax => "fax",
            Self::Unknown => "unknown",
        }
    }
}

impl DetectionMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Async, Self::BeforeConnecting];

    /// The mode's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Async => "async",
            Self::BeforeConnecting => "beforeConnecting",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERED: Timestamp = Timestamp::constant(1_760_000_000, 0);
    const VERDICTS: [AnsweredBy; 5] = [
        AnsweredBy::Human,
        AnsweredBy::Machine,
        AnsweredBy::MachineReady,
        AnsweredBy::Fax,
        AnsweredBy::Unknown,
    ];

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A talk that is told `by` so many seconds after the answer.
    fn told(by: AnsweredBy, after: u64) -> CallFacts {
        CallFacts {
            answered_at: Some(ANSWERED),
            conversation: Some("conv_1".parse().unwrap()),
            answered_by: Some(Detected {
                by,
                at: ANSWERED + seconds(after),
            }),
            ..CallFacts::default()
        }
    }

    fn message() -> Message {
        Message::Audio("https://a.example/1.mp3".to_owned())
    }

    fn policy(on_machine: OnMachine) -> MachinePolicy {
        MachinePolicy {
            mode: DetectionMode::Async,
            on_machine,
            ..MachinePolicy::default()
        }
    }

    fn leaving() -> OnMachine {
        OnMachine::LeaveMessage { message: message() }
    }

    // proves F-26
    #[test]
    fn unknown_is_a_person_unless_the_campaign_says_otherwise() {
        let mut policy = policy(OnMachine::HangUp);
        for (is_machine, expected) in [
            (false, [false, true, true, true, false]),
            (true, [false, true, true, true, true]),
        ] {
            policy.unknown_is_machine = is_machine;
            assert_eq!(VERDICTS.map(|by| policy.is_machine(&told(by, 2))), expected);
        }
    }

    // proves F-26
    #[test]
    fn each_verdict_has_its_response() {
        use Response::{CarryOn, HangUp, Leave};
        let message = message();
        for (on_machine, expected) in [
            (
                OnMachine::HangUp,
                [CarryOn, HangUp, HangUp, HangUp, CarryOn],
            ),
            (
                OnMachine::CarryOn,
                [CarryOn, CarryOn, CarryOn, HangUp, CarryOn],
            ),
            (
                leaving(),
                [CarryOn, HangUp, Leave(&message), HangUp, CarryOn],
            ),
        ] {
            let policy = policy(on_machine);
            assert_eq!(
                VERDICTS.map(|by| policy.response(&told(by, 2))),
                expected,
                "{policy:?}"
            );
        }
        assert_eq!(
            policy(leaving()).response(&CallFacts::default()),
            CarryOn,
            "no verdict is legal"
        );
    }

    // proves F-26
    #[test]
    fn a_verdict_after_a_held_talk_changes_nothing() {
        let mut policy = policy(OnMachine::HangUp);
        for (after, is_machine) in [(5, true), (6, false), (40, false)] {
            let mut facts = told(AnsweredBy::Machine, after);
            facts.held_at = Some(ANSWERED + seconds(6));
            assert_eq!(policy.is_machine(&facts), is_machine, "{after} s");
        }
        policy.held.after = Some(seconds(10));
        for (after, is_machine) in [(9, true), (10, false)] {
            let mut facts = told(AnsweredBy::Fax, after);
            assert_eq!(policy.is_machine(&facts), is_machine, "{after} s");
            facts.conversation = None;
            assert!(policy.is_machine(&facts), "nobody talked");
        }
    }

    // proves F-26
    #[test]
    fn a_verdict_is_due_when_the_carrier_has_listened_long_enough() {
        let mut policy = policy(OnMachine::HangUp);
        assert_eq!(policy.verdict_within(), Some(seconds(30)));
        policy.tuning.timeout = Some(seconds(5));
        let mut facts = CallFacts {
            verdict_within: policy.verdict_within(),
            ..CallFacts::default()
        };
        assert_eq!(verdict_due(&facts), None, "nobody answered");
        facts.answered_at = Some(ANSWERED);
        assert_eq!(verdict_due(&facts), Some(ANSWERED + seconds(5)));
        facts.held_at = Some(ANSWERED);
        assert_eq!(verdict_due(&facts), None, "it would change nothing");
        let mut told = told(AnsweredBy::Unknown, 2);
        told.verdict_within = policy.verdict_within();
        assert_eq!(verdict_due(&told), None);
        for mode in [DetectionMode::Off, DetectionMode::BeforeConnecting] {
            policy.mode = mode;
            assert_eq!(policy.verdict_within(), None, "{mode:?}");
        }
    }

    #[test]
    fn a_verdict_that_says_something_takes_the_place_of_one_that_says_nothing() {
        let known = |by| Some(Detected { by, at: ANSWERED });
        for by in VERDICTS {
            let says_something = by != AnsweredBy::Unknown;
            assert!(Detected::is_news(None, by));
            assert_eq!(
                Detected::is_news(known(AnsweredBy::Unknown), by),
                says_something
            );
            assert!(!Detected::is_news(known(AnsweredBy::Human), by));
        }
    }

    #[test]
    fn only_a_message_makes_the_carrier_wait_for_the_greeting() {
        let waits = |on_machine| policy(on_machine).detection().unwrap().waits_for_greeting;
        assert!(waits(leaving()));
        assert!(!waits(OnMachine::HangUp) && !waits(OnMachine::CarryOn));
        assert_eq!(MachinePolicy::default().detection(), None);
    }
}
