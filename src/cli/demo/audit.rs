//! Whether what really happened is what should have.
//!
//! Reads the simulator's ledger, which knows nothing of us, and compares it with the rules and with
//! our own records. Pure: the same ledger and records give the same violations.

use std::collections::{BTreeMap, BTreeSet};

use super::client::{Call, Contact};
use crate::{
    domain::Timestamp,
    sim::{LedgerSnapshot, ledger::CallFacts},
};

/// What must hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The most calls to one person.
    pub(super) max_attempts: usize,
    /// The most calls at once.
    pub(super) max_concurrent_calls: u32,
    /// The most dial starts per second.
    pub(super) calls_per_second: f64,
}

/// How much later than others a request may reach the carrier on a busy machine. Starts themselves
/// are checked to the millisecond, by our records.
const TRANSIT_MS: i64 = 300;

/// Everything that does not hold, a sentence each.
pub(super) fn violations(
    rules: &Rules,
    ledger: &LedgerSnapshot,
    calls: &[Call],
    contacts: &[Contact],
) -> Vec<String> {
    let mut found = Vec::new();
    check_people(rules, ledger, &mut found);
    check_limits(rules, ledger, &mut found);
    check_spacing(rules, calls, &mut found);
    check_records(ledger, calls, contacts, &mut found);
    found
}

/// The most calls that one number got.
pub(super) fn max_calls_per_number(ledger: &LedgerSnapshot) -> usize {
    by_number(ledger)
        .values()
        .map(Vec::len)
        .max()
        .unwrap_or_default()
}

fn by_number(ledger: &LedgerSnapshot) -> BTreeMap<&str, Vec<&CallFacts>> {
    let mut numbers: BTreeMap<&str, Vec<&CallFacts>> = BTreeMap::new();
    for call in &ledger.calls {
        numbers.entry(&call.to).or_default().push(call);
    }
    for calls in numbers.values_mut() {
        calls.sort_by_key(|call| call.created_at);
    }
    numbers
}

/// Nobody is called too often, twice at once, or again after an answer.
fn check_people(rules: &Rules, ledger: &LedgerSnapshot, found: &mut Vec<String>) {
    for (number, calls) in by_number(ledger) {
        let tail = &number[number.len().saturating_sub(4)..];
        let n_counted = calls.iter().filter(|call| !was_taken_back(call)).count();
        if n_counted > rules.max_attempts {
            found.push(format!("…{tail} was called {n_counted} times"));
        }
        for pair in calls.windows(2) {
            if pair[0]
                .ended_at
                .is_none_or(|ended| ended > pair[1].created_at)
            {
                found.push(format!("…{tail} was called while a call was still up"));
            }
            if pair[0].answered_at.is_some() {
                found.push(format!("…{tail} was called again after answering"));
            }
        }
    }
}

/// Whether the call was cancelled before anybody answered, as a pause does: it is not counted.
fn was_taken_back(call: &CallFacts) -> bool {
    call.outcome.as_deref() == Some("canceled") && call.answered_at.is_none()
}

/// No more calls at once, and none closer together, than the campaign allows.
fn check_limits(rules: &Rules, ledger: &LedgerSnapshot, found: &mut Vec<String>) {
    if ledger.totals.live_max > rules.max_concurrent_calls {
        found.push(format!(
            "{} calls were up at once, {} are allowed",
            ledger.totals.live_max, rules.max_concurrent_calls
        ));
    }
    let starts = ledger.calls.iter().map(|call| call.created_at);
    let arrived = crowd(rules, starts, 1000 - TRANSIT_MS);
    if arrived > 0 {
        found.push(format!(
            "too many calls reached the carrier within a second, {arrived} times"
        ));
    }
}

/// Starts were given out as far apart as the campaign says.
fn check_spacing(rules: &Rules, calls: &[Call], found: &mut Vec<String>) {
    let given = crowd(rules, calls.iter().map(|call| call.dial_at), 1000);
    if given > 0 {
        found.push(format!(
            "too many starts were given out within a second, {given} times"
        ));
    }
}

/// How often more starts than the rate and one lie within `window_ms`.
fn crowd(rules: &Rules, starts: impl Iterator<Item = Timestamp>, window_ms: i64) -> usize {
    let mut starts: Vec<i64> = starts.map(Timestamp::as_millisecond).collect();
    starts.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate up to 200"
    )]
    let most = rules.calls_per_second.ceil() as usize + 1;
    starts
        .windows(most + 1)
        .filter(|window| window[most] - window[0] < window_ms)
        .count()
}

/// Every real call belongs to exactly one attempt, every attempt and every contact came to its end,
/// and nothing is left open at the carrier or the agent.
fn check_records(
    ledger: &LedgerSnapshot,
    calls: &[Call],
    contacts: &[Contact],
    found: &mut Vec<String>,
) {
    let mut sids = BTreeSet::new();
    for call in calls {
        if !matches!(call.state.as_str(), "ended" | "released") {
            found.push(format!("attempt {} is still {}", call.id, call.state));
        }
        if let Some(sid) = &call.sid
            && !sids.insert(sid.as_str())
        {
            found.push(format!("two attempts have the call {sid}"));
        }
    }
    for call in &ledger.calls {
        if !sids.contains(call.sid.as_str()) {
            found.push(format!(
                "the carrier placed {}, which is in no attempt",
                call.sid
            ));
        }
    }
    for contact in contacts
        .iter()
        .filter(|contact| contact.state != "finished")
    {
        let tail = &contact.phone[contact.phone.len().saturating_sub(4)..];
        found.push(format!("…{tail} is still {}", contact.state));
    }
    if ledger.totals.live > 0 {
        found.push(format!(
            "{} calls are still up at the carrier",
            ledger.totals.live
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Behaviour;

    const RULES: Rules = Rules {
        max_attempts: 2,
        max_concurrent_calls: 5,
        calls_per_second: 2.0,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_760_000_000 + second).unwrap()
    }

    fn real(sid: &str, to: &str, created: i64, answered: bool, ended: Option<i64>) -> CallFacts {
        CallFacts {
            sid: sid.to_owned(),
            to: to.to_owned(),
            from: "+12025550100".to_owned(),
            behaviour: Behaviour::Busy,
            created_at: at(created),
            answered_at: answered.then(|| at(created + 1)),
            ended_at: ended.map(at),
            outcome: None,
            beeps_at: None,
            transfers: Vec::new(),
            announcements: Vec::new(),
        }
    }

    fn ledger(calls: Vec<CallFacts>) -> LedgerSnapshot {
        LedgerSnapshot {
            calls,
            ..LedgerSnapshot::default()
        }
    }

    fn recorded(sid: &str, state: &str) -> Call {
        Call {
            id: format!("att_{sid}"),
            state: state.to_owned(),
            sid: Some(sid.to_owned()),
            dial_at: at(sid[2..].parse().unwrap()),
        }
    }

    fn n(ledger: &LedgerSnapshot, calls: &[Call]) -> usize {
        violations(&RULES, ledger, calls, &[]).len()
    }

    #[test]
    fn a_clean_run_has_no_violation() {
        let ledger = ledger(vec![
            real("CA1", "+12025550101", 0, false, Some(5)),
            real("CA2", "+12025550101", 10, true, Some(15)),
        ]);
        assert_eq!(
            n(
                &ledger,
                &[recorded("CA1", "ended"), recorded("CA2", "ended")]
            ),
            0
        );
    }

    // Every check must be able to fail, or its zero says nothing.
    #[test]
    fn every_kind_of_violation_is_seen() {
        let both = [recorded("CA1", "ended"), recorded("CA2", "ended")];
        let again = |first: CallFacts| {
            ledger(vec![
                first,
                real("CA2", "+12025550101", 10, false, Some(15)),
            ])
        };
        assert_eq!(
            n(&again(real("CA1", "+12025550101", 0, true, Some(5))), &both),
            1
        );
        assert_eq!(
            n(
                &again(real("CA1", "+12025550101", 0, false, Some(12))),
                &both
            ),
            1
        );
        let one = ledger(vec![real("CA1", "+12025550101", 0, false, Some(5))]);
        assert_eq!(n(&one, &[recorded("CA1", "ringing")]), 1);
        assert_eq!(n(&one, &[]), 1);
        assert_eq!(
            n(&one, &[recorded("CA1", "ended"), recorded("CA1", "ended")]),
            1
        );
        let burst: Vec<_> = (0..4)
            .map(|i| {
                real(
                    &format!("CA{i}"),
                    &format!("+1202555010{i}"),
                    0,
                    false,
                    Some(5),
                )
            })
            .collect();
        let calls: Vec<_> = (0..4)
            .map(|i| recorded(&format!("CA{i}"), "ended"))
            .collect();
        assert_eq!(n(&ledger(burst), &calls), 1);
        let mut hasty = calls.clone();
        for call in &mut hasty {
            call.dial_at = at(0);
        }
        let spaced: Vec<_> = (0..4)
            .map(|i| {
                real(
                    &format!("CA{i}"),
                    &format!("+1202555010{i}"),
                    i,
                    false,
                    Some(i + 5),
                )
            })
            .collect();
        assert_eq!(n(&ledger(spaced), &hasty), 1);
        let mut crowded = ledger(vec![]);
        crowded.totals.live_max = 6;
        crowded.totals.live = 1;
        assert_eq!(n(&crowded, &[]), 2);
        let waiting = Contact {
            phone: "+12025550101".to_owned(),
            state: "waiting".to_owned(),
        };
        assert_eq!(
            violations(&RULES, &ledger(vec![]), &[], &[waiting]).len(),
            1
        );
    }
}
