//! The person (or machine) at the other end of a simulated call.
//!
//! Pure: the seed, the number and how often it was called before decide the whole [`Script`], and
//! a `Mouth` turns the spoken part into 20 ms steps. It knows no carrier and no agent; times are
//! lifelike until [`Script::at_pace`] shortens them.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{chance::Chance, pace::Pace, tone::Saying};

/// How a number behaves when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Picks up, talks, and lets the agent end the call.
    Converses,
    /// Picks up, talks a little and hangs up while the agent is speaking.
    HangsUp,
    /// Picks up, says something, presses 9, and lets the agent end the call.
    PressesNine,
    /// Picks up, says that they want no more calls, and lets the agent end the call.
    AsksNotToBeCalled,
    /// An answering machine: a long greeting, a beep, then silence.
    Machine,
    /// A fax: a tone, then silence.
    Fax,
    Busy,
    /// Rings until the caller gives up.
    NoAnswer,
    /// Accepted by the carrier, then found not to exist.
    Invalid,
    /// Refused by the carrier as soon as the call is requested.
    Refused,
}

/// How common each behaviour is, as weights: only their proportion counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    pub converses: f64,
    pub hangs_up: f64,
    pub machine: f64,
    pub fax: f64,
    pub busy: f64,
    pub no_answer: f64,
    pub invalid: f64,
    pub refused: f64,
    pub presses_nine: f64,
    pub asks_not_to_be_called: f64,
}

impl Default for Mix {
    /// An ordinary list. Nobody on it opts out: who does is called no more, whatever else is tried.
    fn default() -> Self {
        Self {
            converses: 0.45,
            hangs_up: 0.13,
            machine: 0.12,
            fax: 0.0,
            busy: 0.10,
            no_answer: 0.15,
            invalid: 0.03,
            refused: 0.02,
            presses_nine: 0.0,
            asks_not_to_be_called: 0.0,
        }
    }
}

impl Mix {
    /// A world in which every number does the same.
    pub fn only(behaviour: Behaviour) -> Self {
        let weight = |of| f64::from(u8::from(behaviour == of));
        Self {
            converses: weight(Behaviour::Converses),
            hangs_up: weight(Behaviour::HangsUp),
            machine: weight(Behaviour::Machine),
            fax: weight(Behaviour::Fax),
            busy: weight(Behaviour::Busy),
            no_answer: weight(Behaviour::NoAnswer),
            invalid: weight(Behaviour::Invalid),
            refused: weight(Behaviour::Refused),
            presses_nine: weight(Behaviour::PressesNine),
            asks_not_to_be_called: weight(Behaviour::AsksNotToBeCalled),
        }
    }

    /// The behaviour at `fraction` (0 to 1) of the way through all weights.
    fn at(&self, fraction: f64) -> Behaviour {
        let shares = [
            (Behaviour::HangsUp, self.hangs_up),
            (Behaviour::Machine, self.machine),
            (Behaviour::Fax, self.fax),
            (Behaviour::Busy, self.busy),
            (Behaviour::NoAnswer, self.no_answer),
            (Behaviour::Invalid, self.invalid),
            (Behaviour::Refused, self.refused),
            (Behaviour::PressesNine, self.presses_nine),
            (Behaviour::AsksNotToBeCalled, self.asks_not_to_be_called),
        ];
        let total = self.converses + shares.iter().map(|(_, weight)| weight).sum::<f64>();
        let mut left = fraction * total;
        for (behaviour, weight) in shares {
            if left < weight {
                return behaviour;
            }
            left -= weight;
        }
        Behaviour::Converses
    }
}

/// Who lives at which number.
#[derive(Debug, Clone, Default)]
pub struct Population {
    pub mix: Mix,
    /// Fixed behaviour per number or ending of numbers, one for each successive call; the last
    /// one repeats.
    pub overrides: BTreeMap<String, Vec<Behaviour>>,
}

impl Population {
    /// What `number` does when it is called after `n_earlier` calls.
    ///
    /// A number is invalid, refused or answered by a machine for good; busy, absent and present
    /// people change from call to call.
    pub fn script(&self, chance: Chance, number: &str, n_earlier: u32) -> Script {
        let behaviour = self.behaviour(chance, number, n_earlier);
        let call = n_earlier.to_string();
        Author {
            chance,
            number,
            call: &call,
        }
        .write(behaviour)
    }

    fn behaviour(&self, chance: Chance, number: &str, n_earlier: u32) -> Behaviour {
        if let Some(list) = self.override_for(number)
            && let Some(last) = list.last()
        {
            return *list.get(n_earlier as usize).unwrap_or(last);
        }
        let lasting = self.mix.at(chance.about(&["mix", number]).fraction());
        match lasting {
            Behaviour::Machine | Behaviour::Fax | Behaviour::Invalid | Behaviour::Refused => {
                lasting
            }
            Behaviour::Converses
            | Behaviour::HangsUp
            | Behaviour::PressesNine
            | Behaviour::AsksNotToBeCalled
            | Behaviour::Busy
            | Behaviour::NoAnswer => {
                let changing = Mix {
                    machine: 0.0,
                    fax: 0.0,
                    invalid: 0.0,
                    refused: 0.0,
                    ..self.mix.clone()
                };
                let call = n_earlier.to_string();
                changing.at(chance.about(&["mood", number, &call]).fraction())
            }
        }
    }

    /// The entry for the whole number, or for the longest ending of it.
    fn override_for(&self, number: &str) -> Option<&Vec<Behaviour>> {
        self.overrides.get(number).or_else(|| {
            self.overrides
                .iter()
                .filter(|(ending, _)| number.ends_with(ending.as_str()))
                .max_by_key(|(ending, _)| ending.len())
                .map(|(_, list)| list)
        })
    }
}

/// Everything the other end will do in one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    pub behaviour: Behaviour,
    pub reaction: Reaction,
}

/// What happens once the carrier rings (or fails to).
#[derive(Debug, Clone, PartialEq)]
pub enum Reaction {
    PicksUp {
        after: Duration,
        voice: Voice,
        is_machine: bool,
        /// Hangs up this long after answering, whatever happens.
        patience: Duration,
    },
    Busy {
        after: Duration,
    },
    Unreachable {
        after: Duration,
    },
    NeverAnswers,
    RefusedByCarrier,
}

/// What is said on the line, which key is then pressed, and whether the speaker then hangs up.
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    pub utterances: Vec<Utterance>,
    /// Pressed as soon as all is said.
    pub key: Option<char>,
    /// When all is said: stays on the line, or hangs up then.
    pub hangs_up: Option<Starts>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Utterance {
    pub starts: Starts,
    pub length: Duration,
    pub says: Saying,
}

/// When somebody starts to speak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Starts {
    AtOnce,
    /// When the other side has spoken and then been quiet for `pause`, or said nothing at all for
    /// `or_after`.
    InTurn {
        pause: Duration,
        or_after: Duration,
    },
    /// While the other side is speaking, `after` it began.
    Interrupting {
        after: Duration,
    },
}

impl Script {
    /// This script as lived at `pace`; what must be heard keeps an audible length.
    pub fn at_pace(self, pace: Pace) -> Self {
        let reaction = match self.reaction {
            Reaction::PicksUp {
                after,
                voice,
                is_machine,
                patience,
            } => Reaction::PicksUp {
                after: pace.shorten(after),
                voice: voice.at_pace(pace),
                is_machine,
                patience: pace.shorten_to(patience, MIN_PATIENCE),
            },
            Reaction::Busy { after } => Reaction::Busy {
                after: pace.shorten(after),
            },
            Reaction::Unreachable { after } => Reaction::Unreachable {
                after: pace.shorten(after),
            },
            Reaction::NeverAnswers => Reaction::NeverAnswers,
            Reaction::RefusedByCarrier => Reaction::RefusedByCarrier,
        };
        Self { reaction, ..self }
    }
}

impl Voice {
    /// How long all of it takes, when nobody is waited for.
    pub fn length(&self) -> Duration {
        self.utterances
            .iter()
            .map(|utterance| utterance.length)
            .sum()
    }

    fn at_pace(self, pace: Pace) -> Self {
        let utterances = self
            .utterances
            .into_iter()
            .map(|utterance| Utterance {
                starts: utterance.starts.at_pace(pace),
                length: pace.shorten_to(utterance.length, MIN_UTTERANCE),
                says: utterance.says,
            })
            .collect();
        let hangs_up = self.hangs_up.map(|moment| moment.at_pace(pace));
        Self {
            utterances,
            key: self.key,
            hangs_up,
        }
    }
}

impl Starts {
    fn at_pace(self, pace: Pace) -> Self {
        match self {
            Starts::AtOnce => Starts::AtOnce,
            Starts::InTurn { pause, or_after } => Starts::InTurn {
                pause: pace.shorten_to(pause, MIN_PAUSE),
                or_after: pace.shorten_to(or_after, MIN_WAIT),
            },
            Starts::Interrupting { after } => Starts::Interrupting {
                after: pace.shorten_to(after, MIN_PAUSE),
            },
        }
    }
}

const MIN_UTTERANCE: Duration = Duration::from_millis(240);
pub(super) const MIN_PAUSE: Duration = Duration::from_millis(80);
/// Setting up the media path takes real time, which impatience has to allow for.
pub(super) const MIN_WAIT: Duration = Duration::from_millis(1_500);
const MIN_PATIENCE: Duration = Duration::from_millis(2_000);

struct Author<'a> {
    chance: Chance,
    number: &'a str,
    call: &'a str,
}

impl Author<'_> {
    fn write(&self, behaviour: Behaviour) -> Script {
        let reaction = match behaviour {
            Behaviour::Converses => self.person(2, 3, false, 240),
            Behaviour::HangsUp => self.person(0, 2, true, 60),
            Behaviour::PressesNine => self.opts_out(Saying::SmallTalk, Some('9')),
            Behaviour::AsksNotToBeCalled => self.opts_out(Saying::DoNotCall, None),
            Behaviour::Machine => self.machine(),
            Behaviour::Fax => self.fax(),
            Behaviour::Busy => Reaction::Busy {
                after: self.seconds("busy", 1.0, 5.0),
            },
            Behaviour::NoAnswer => Reaction::NeverAnswers,
            Behaviour::Invalid => Reaction::Unreachable {
                after: self.seconds("fail", 0.5, 6.0),
            },
            Behaviour::Refused => Reaction::RefusedByCarrier,
        };
        Script {
            behaviour,
            reaction,
        }
    }

    fn person(&self, least: usize, most: usize, hangs_up: bool, patience_s: u64) -> Reaction {
        let n_utterances = self.draw("utterances").count(least, most);
        Reaction::PicksUp {
            after: self.seconds("pick up", 4.0, 18.0),
            voice: Voice {
                utterances: (0..n_utterances).map(|n| self.utterance(n)).collect(),
                key: None,
                hangs_up: hangs_up.then(|| Starts::Interrupting {
                    after: self.seconds("has enough", 1.0, 3.0),
                }),
            },
            is_machine: false,
            patience: Duration::from_secs(patience_s),
        }
    }

    /// Somebody who has one thing to say, perhaps by a key: the agent may end the call after that.
    fn opts_out(&self, says: Saying, key: Option<char>) -> Reaction {
        let utterance = Utterance {
            says,
            ..self.utterance(0)
        };
        Reaction::PicksUp {
            after: self.seconds("pick up", 4.0, 18.0),
            voice: Voice {
                utterances: vec![utterance],
                key,
                hangs_up: None,
            },
            is_machine: false,
            patience: Duration::from_secs(240),
        }
    }

    fn utterance(&self, n: usize) -> Utterance {
        let interrupts = n > 0 && self.draw(&format!("interrupts {n}")).happens(0.3);
        let starts = if interrupts {
            Starts::Interrupting {
                after: self.seconds(&format!("cuts in {n}"), 0.4, 1.5),
            }
        } else {
            Starts::InTurn {
                pause: self.seconds(&format!("pause {n}"), 0.3, 1.2),
                or_after: Duration::from_secs(6),
            }
        };
        Utterance {
            starts,
            length: self.seconds(&format!("length {n}"), 1.2, 4.0),
            says: Saying::SmallTalk,
        }
    }

    fn machine(&self) -> Reaction {
        let greeting = self.seconds("greeting", 6.0, 12.0);
        let beep = Duration::from_millis(400);
        self.device(15.0, 20.0, &[greeting, beep])
    }

    fn fax(&self) -> Reaction {
        self.device(4.0, 10.0, &[Duration::from_secs(3)])
    }

    /// Something that picks up within those seconds and makes sounds of these lengths.
    fn device(&self, soonest: f64, latest: f64, sounds: &[Duration]) -> Reaction {
        let sound = |length: &Duration| Utterance {
            starts: Starts::AtOnce,
            length: *length,
            says: Saying::SmallTalk,
        };
        Reaction::PicksUp {
            after: self.seconds("pick up", soonest, latest),
            voice: Voice {
                utterances: sounds.iter().map(sound).collect(),
                key: None,
                hangs_up: None,
            },
            is_machine: true,
            patience: self.seconds("tape", 30.0, 45.0),
        }
    }

    fn seconds(&self, what: &str, low: f64, high: f64) -> Duration {
        self.draw(what)
            .between(Duration::from_secs_f64(low), Duration::from_secs_f64(high))
    }

    fn draw(&self, what: &str) -> super::chance::Draw {
        self.chance.about(&[what, self.number, self.call])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(population: &Population, number: &str, n_earlier: u32) -> Script {
        population.script(Chance::seeded(7), number, n_earlier)
    }

    #[test]
    fn the_same_call_always_gets_the_same_script() {
        let population = Population::default();
        assert_eq!(
            script(&population, "+15550100", 2),
            script(&population, "+15550100", 2)
        );
    }

    #[test]
    fn the_mix_is_kept_over_many_numbers() {
        let population = Population::default();
        let count = |behaviour| {
            (0..4_000)
                .filter(|n| script(&population, &format!("+1555{n:07}"), 0).behaviour == behaviour)
                .count()
        };
        assert!((400..560).contains(&count(Behaviour::Machine)));
        assert!((40..130).contains(&count(Behaviour::Refused)));
        assert_eq!(count(Behaviour::PressesNine), 0);
        assert_eq!(count(Behaviour::AsksNotToBeCalled), 0);
        for behaviour in [Behaviour::Busy, Behaviour::PressesNine] {
            let world = Population {
                mix: Mix::only(behaviour),
                ..Population::default()
            };
            assert_eq!(script(&world, "+15550100", 0).behaviour, behaviour);
        }
    }

    #[test]
    fn an_override_may_name_the_end_of_numbers_and_the_longest_wins() {
        let entry = |ending: &str, behaviour| (ending.to_owned(), vec![behaviour]);
        let population = Population {
            overrides: BTreeMap::from([
                entry("01", Behaviour::Busy),
                entry("0101", Behaviour::Machine),
            ]),
            ..Population::default()
        };
        let behaviour = |number| script(&population, number, 0).behaviour;
        assert_eq!(behaviour("+15550001"), Behaviour::Busy);
        assert_eq!(behaviour("+15550101"), Behaviour::Machine);
    }

    #[test]
    fn an_override_is_followed_call_by_call_and_its_last_entry_repeats() {
        let list = vec![Behaviour::Busy, Behaviour::Converses];
        let population = Population {
            overrides: BTreeMap::from([("+15550100".to_owned(), list)]),
            ..Population::default()
        };
        let behaviours = [0, 1, 2].map(|n| script(&population, "+15550100", n).behaviour);
        assert_eq!(
            behaviours,
            [Behaviour::Busy, Behaviour::Converses, Behaviour::Converses]
        );
    }
}
