//! What came of worlds, in numbers and in words.

use std::fmt;

use crate::domain::Timestamp;

/// What came of one world.
#[derive(Debug)]
pub struct Report {
    /// Which world.
    pub seed: u64,
    /// What was counted.
    pub totals: Totals,
    /// What must not happen and did.
    pub violation: Option<String>,
    /// What happened, where it was asked for.
    pub timeline: Vec<(Timestamp, String)>,
    /// How long it lasted, in its own time.
    pub ended_at: Timestamp,
    /// Depends on everything that happened: two runs of one seed have the same.
    pub fingerprint: u64,
}

/// Everything that is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub n_seeds: u64,
    pub n_violations: u64,
    pub n_campaigns: u64,
    pub n_contacts: u64,
    pub n_requests: u64,
    pub n_calls: u64,
    pub n_answered: u64,
    pub n_talks: u64,
    pub n_operations: u64,
    pub n_questions: u64,
    pub n_checks: u64,
    pub n_commands: u64,
    /// Emergency stops that came into force.
    pub n_halts: u64,
    pub n_crashes: u64,
    pub n_freezes: u64,
    pub n_restarts: u64,
    pub n_store_failures: u64,
    pub n_lost_answers: u64,
    pub n_slow: u64,
    pub n_lost_callbacks: u64,
    pub n_late_callbacks: u64,
    pub n_repeated_callbacks: u64,
    pub n_lost_replies: u64,
    pub n_lost_requests: u64,
    pub n_late_requests: u64,
    pub n_refused: u64,
    pub n_throttled: u64,
    pub n_unreachable: u64,
    pub n_failed_questions: u64,
    pub n_agent_failures: u64,
}

impl Totals {
    /// Each count with what it counts, in the order of showing.
    fn lines(&mut self) -> [(&'static str, &mut u64); 30] {
        [
            ("seeds", &mut self.n_seeds),
            ("campaigns", &mut self.n_campaigns),
            ("contacts", &mut self.n_contacts),
            ("requests for calls", &mut self.n_requests),
            ("calls", &mut self.n_calls),
            ("answered", &mut self.n_answered),
            ("talks with an agent", &mut self.n_talks),
            ("operations of the store", &mut self.n_operations),
            ("questions to the carrier", &mut self.n_questions),
            ("steps checked", &mut self.n_checks),
            ("operator commands", &mut self.n_commands),
            ("emergency stops", &mut self.n_halts),
            ("processes killed", &mut self.n_crashes),
            ("processes frozen", &mut self.n_freezes),
            ("processes restarted", &mut self.n_restarts),
            ("store: failed", &mut self.n_store_failures),
            ("store: written, answer lost", &mut self.n_lost_answers),
            ("store: slow", &mut self.n_slow),
            ("callbacks: lost", &mut self.n_lost_callbacks),
            ("callbacks: late", &mut self.n_late_callbacks),
            ("callbacks: twice", &mut self.n_repeated_callbacks),
            ("requests: answer lost", &mut self.n_lost_replies),
            ("requests: lost", &mut self.n_lost_requests),
            ("requests: late", &mut self.n_late_requests),
            ("requests: refused", &mut self.n_refused),
            ("requests: throttled", &mut self.n_throttled),
            ("requests: unreachable", &mut self.n_unreachable),
            ("questions: failed", &mut self.n_failed_questions),
            ("agents: failed", &mut self.n_agent_failures),
            ("VIOLATIONS", &mut self.n_violations),
        ]
    }

    /// Adds those of another world.
    pub fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        for ((_, own), (_, more)) in self.lines().into_iter().zip(other.lines()) {
            *own += *more;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, n) in self.clone().lines() {
            writeln!(f, "{what:<28}{n:>14}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in &self.timeline {
            writeln!(f, "{} {line}", at.strftime("%H:%M:%S%.3f"))?;
        }
        match &self.violation {
            Some(violation) => writeln!(f, "seed {}: VIOLATION: {violation}", self.seed),
            None => writeln!(f, "seed {}: everything held", self.seed),
        }
    }
}
