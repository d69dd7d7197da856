//! The ledger against a model of a carrier that plays bytes.

use proptest::prelude::*;

use super::*;

fn ms(length: u64) -> Duration {
    Duration::from_millis(length)
}

#[test]
fn a_new_turn_marks_the_end_of_the_one_before() {
    let mut playback = Playback::default();
    assert_eq!(playback.send(1, ms(100), ms(0)), None);
    assert_eq!(playback.send(1, ms(100), ms(0)), None);
    assert_eq!(
        playback.send(2, ms(100), ms(10)).as_deref(),
        Some("g0.t1.1")
    );
    assert_eq!(playback.mark().as_deref(), Some("g0.t2.2"));
    assert_eq!(playback.mark(), None);
    assert_eq!(playback.queued(ms(50)), ms(250));
}

// proves F-32
#[test]
fn marks_of_a_cleared_generation_prove_nothing() {
    let mut playback = Playback::default();
    playback.send(1, ms(1000), ms(0));
    let mark = playback.mark().unwrap();
    assert_eq!(playback.interrupt(1, ms(400)), BTreeSet::from([1]));
    assert_eq!(playback.echoed(&mark, ms(410)), Echo::Void);
    assert!(!playback.wants(1));
    assert!(playback.wants(2));
    playback.send(2, ms(100), ms(500));
    let mark = playback.mark().unwrap();
    assert_eq!(mark, "g1.t2.2");
    assert!(!playback.is_played_out());
    assert_eq!(playback.echoed(&mark, ms(620)), Echo::Heard);
    assert!(playback.is_played_out());
}

#[test]
fn a_turn_that_was_heard_in_whole_is_not_cut() {
    let mut playback = Playback::default();
    playback.send(1, ms(200), ms(0));
    playback.send(2, ms(200), ms(0));
    assert_eq!(playback.interrupt(2, ms(300)), BTreeSet::from([2]));
    playback.send(3, ms(200), ms(1000));
    assert_eq!(playback.interrupt(3, ms(1300)), BTreeSet::new());
}

#[test]
fn a_mark_sets_the_reckoning_right() {
    let mut playback = Playback::default();
    playback.send(1, ms(100), ms(0));
    let mark = playback.mark().unwrap();
    playback.send(2, ms(100), ms(0));
    // The carrier was 300 ms late; the second turn has begun only now.
    assert_eq!(playback.echoed(&mark, ms(400)), Echo::Heard);
    assert_eq!(playback.queued(ms(400)), ms(100));
    assert_eq!(playback.interrupt(2, ms(450)), BTreeSet::from([2]));
}

#[test]
fn many_small_pieces_are_one_segment() {
    let mut playback = Playback::default();
    for _ in 0..500 {
        playback.send(1, ms(20), ms(0));
    }
    assert_eq!(playback.segments.len(), 1);
    assert_eq!(playback.queued(ms(0)), ms(10_000));
}

/// A carrier without delay: plays its queue, returns marks, and returns all of them on a clear.
#[derive(Default)]
struct Carrier {
    now: Duration,
    queue: VecDeque<Item>,
    unheard_of: BTreeSet<u64>,
}

enum Item {
    Sound(u64, Duration),
    Mark(String),
}

impl Carrier {
    fn play(&mut self, length: Duration) -> Vec<(String, Duration)> {
        let until = self.now + length;
        let mut echoes = Vec::new();
        loop {
            match self.queue.front_mut() {
                Some(Item::Mark(name)) => {
                    echoes.push((std::mem::take(name), self.now));
                    self.queue.pop_front();
                }
                Some(Item::Sound(_, left)) => {
                    let played = (*left).min(until - self.now);
                    *left -= played;
                    self.now += played;
                    if !left.is_zero() {
                        break;
                    }
                    self.queue.pop_front();
                }
                None => break,
            }
        }
        self.now = until;
        echoes
    }

    fn clear(&mut self) -> Vec<String> {
        let mut marks = Vec::new();
        self.unheard_of.clear();
        for item in self.queue.drain(..) {
            match item {
                Item::Sound(turn, _) => drop(self.unheard_of.insert(turn)),
                Item::Mark(name) => marks.push(name),
            }
        }
        marks
    }
}

#[derive(Debug, Clone)]
enum Act {
    Speak(u64),
    NextTurn,
    Pause,
    Wait(u64),
    Interrupt,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1u64..1500).prop_map(Act::Speak),
        2 => Just(Act::NextTurn),
        2 => Just(Act::Pause),
        4 => (1u64..1500).prop_map(Act::Wait),
        1 => Just(Act::Interrupt),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    // proves F-32
    #[test]
    fn what_counts_as_heard_is_what_the_carrier_played(acts in acts()) {
        let (mut carrier, mut playback, mut turn) = (Carrier::default(), Playback::default(), 1);
        for act in acts {
            match act {
                Act::Speak(length) => {
                    let mark = playback.send(turn, ms(length), carrier.now);
                    carrier.queue.extend(mark.map(Item::Mark));
                    carrier.queue.push_back(Item::Sound(turn, ms(length)));
                }
                Act::NextTurn => turn += 1,
                Act::Pause => carrier.queue.extend(playback.mark().map(Item::Mark)),
                Act::Wait(length) => {
                    for (name, at) in carrier.play(ms(length)) {
                        prop_assert_eq!(playback.echoed(&name, at), Echo::Heard);
                    }
                }
                Act::Interrupt => {
                    let cut = playback.interrupt(turn, carrier.now);
                    for name in carrier.clear() {
                        prop_assert_eq!(playback.echoed(&name, carrier.now), Echo::Void);
                    }
                    prop_assert_eq!(cut, carrier.unheard_of.clone());
                    turn += 1;
                }
            }
            let left: Duration = carrier
                .queue
                .iter()
                .map(|item| match item {
                    Item::Sound(_, left) => *left,
                    Item::Mark(_) => Duration::ZERO,
                })
                .sum();
            prop_assert_eq!(playback.queued(carrier.now), left);
        }
    }
}
