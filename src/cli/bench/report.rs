//! What the rounds gave, side by side.

use std::{collections::BTreeMap, io::Write as _};

use serde_json::{Value, json};

use super::{Kind, Outcome, tally::Frames};

/// The figures of one round.
#[derive(Debug, Clone, Default)]
struct Figures {
    cpu_s_per_call_minute: f64,
    bytes_per_call: f64,
    to_agent_us: [f64; 3],
    to_callee_us: [f64; 3],
    clear_p99_us: f64,
    set_up_p95_us: f64,
    closed_p99_us: f64,
    frames_to_agent: Frames,
    frames_to_callee: Frames,
    n_failed: u64,
}

/// All rounds so far.
#[derive(Debug, Default)]
pub struct Report {
    rounds: BTreeMap<(usize, Kind), Vec<Figures>>,
}

impl Report {
    /// Takes a round's figures.
    pub fn add(&mut self, n_calls: usize, kind: Kind, outcome: &Outcome) {
        let figures = Figures::of(outcome);
        eprintln!(
            "  {:.4} CPU s per call-minute, p50/p99 {:.2}/{:.2} ms, frames lost/doubled/reordered: \
             to agent {}, to callee {}",
            figures.cpu_s_per_call_minute,
            figures.to_agent_us[0] / 1e3,
            figures.to_agent_us[1] / 1e3,
            shown(&figures.frames_to_agent),
            shown(&figures.frames_to_callee),
        );
        self.rounds
            .entry((n_calls, kind))
            .or_default()
            .push(figures);
    }

    /// Whether in all rounds of the bridge every frame came once and in its place, and no call failed.
    pub fn is_bridge_whole(&self) -> bool {
        let rounds = self.rounds.iter();
        rounds
            .filter(|((_, kind), _)| *kind == Kind::Bridge)
            .flat_map(|(_, rounds)| rounds)
            .all(|it| {
                it.frames_to_agent.are_whole()
                    && it.frames_to_callee.are_whole()
                    && it.n_failed == 0
            })
    }

    /// Prints what is known of a number of calls: the median of the rounds, and of frames and failures the sum.
    pub fn print(&self, n_calls: usize, as_json: bool) -> std::io::Result<()> {
        let rows: Vec<(Kind, Figures)> = self
            .rounds
            .iter()
            .filter(|((calls, _), _)| *calls == n_calls)
            .map(|((_, kind), rounds)| (*kind, middle(rounds)))
            .collect();
        let cpu_of = |wanted: Kind| {
            rows.iter()
                .find(|(kind, _)| *kind == wanted)
                .map(|(_, figures)| figures.cpu_s_per_call_minute)
        };
        let (limit, node) = (cpu_of(Kind::Limit), cpu_of(Kind::Node));
        let mut out = std::io::stdout().lock();
        if !as_json {
            writeln!(
                out,
                "\n| {n_calls} calls | CPU s/call-minute | ÷ limit | ÷ Node | to agent p50/p99/p99.9 ms | to callee p50/p99/p99.9 ms | KB/call | clear p99 ms | set-up p95 ms | closed p99 ms | frames to agent, lost/doubled/reordered | frames to callee | failed |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
            )?;
        }
        for (kind, figures) in &rows {
            let line = if as_json {
                figures.to_json(n_calls, *kind, limit, node)
            } else {
                figures.to_row(*kind, limit, node)
            };
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

impl Figures {
    fn of(outcome: &Outcome) -> Self {
        let n_calls = outcome.plan.n_calls as f64;
        let minutes = outcome.plan.measured.as_secs_f64() / 60.0;
        let bytes = outcome
            .end
            .resident_bytes
            .saturating_sub(outcome.idle.resident_bytes);
        let three = |times: &[u32]| [0.5, 0.99, 0.999].map(|share| quantile(times, share));
        let seen = &outcome.seen;
        Self {
            cpu_s_per_call_minute: (outcome.end.cpu_s - outcome.begin.cpu_s) / n_calls / minutes,
            bytes_per_call: bytes as f64 / n_calls,
            to_agent_us: three(&seen.to_agent),
            to_callee_us: three(&seen.to_callee),
            clear_p99_us: quantile(&seen.clears, 0.99),
            set_up_p95_us: quantile(&seen.set_up, 0.95),
            closed_p99_us: quantile(&seen.closed, 0.99),
            frames_to_agent: seen.frames_to_agent,
            frames_to_callee: seen.frames_to_callee,
            n_failed: seen.n_failed,
        }
    }

    fn to_row(&self, kind: Kind, limit: Option<f64>, node: Option<f64>) -> String {
        let cpu = self.cpu_s_per_call_minute;
        let ratio =
            |other: Option<f64>| other.map_or("–".to_owned(), |it| format!("{:.2}", cpu / it));
        let three = |it: &[f64; 3]| it.map(|us| format!("{:.2}", us / 1e3)).join("/");
        format!(
            "| {} | {cpu:.4} | {} | {} | {} | {} | {:.1} | {:.2} | {:.0} | {:.1} | {} | {} | {} |",
            kind.name(),
            ratio(limit),
            ratio(node),
            three(&self.to_agent_us),
            three(&self.to_callee_us),
            self.bytes_per_call / 1024.0,
            self.clear_p99_us / 1e3,
            self.set_up_p95_us / 1e3,
            self.closed_p99_us / 1e3,
            shown(&self.frames_to_agent),
            shown(&self.frames_to_callee),
            self.n_failed,
        )
    }

    fn to_json(&self, n_calls: usize, kind: Kind, limit: Option<f64>, node: Option<f64>) -> String {
        json!({
            "calls": n_calls,
            "bridge": kind.name(),
            "cpuSecondsPerCallMinute": self.cpu_s_per_call_minute,
            "toLimit": limit.map(|it| self.cpu_s_per_call_minute / it),
            "toNode": node.map(|it| self.cpu_s_per_call_minute / it),
            "toAgentUs": self.to_agent_us,
            "toCalleeUs": self.to_callee_us,
            "bytesPerCall": self.bytes_per_call,
            "clearP99Us": self.clear_p99_us,
            "setUpP95Us": self.set_up_p95_us,
            "closedP99Us": self.closed_p99_us,
            "framesToAgent": frames_json(&self.frames_to_agent),
            "framesToCallee": frames_json(&self.frames_to_callee),
            "failed": self.n_failed,
        })
        .to_string()
    }
}

/// How many of how many were lost, doubled and reordered.
fn shown(frames: &Frames) -> String {
    format!(
        "{}: {}/{}/{}",
        frames.n_sent, frames.n_lost, frames.n_doubled, frames.n_reordered
    )
}

fn frames_json(frames: &Frames) -> Value {
    json!({
        "sent": frames.n_sent,
        "lost": frames.n_lost,
        "doubled": frames.n_doubled,
        "reordered": frames.n_reordered,
    })
}

/// The value below which that share of the others is.
fn quantile(values: &[u32], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() as f64 * share) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(place.min(last))
        .map_or(0.0, |value| f64::from(*value))
}

/// The median of each figure, and the sum of frames and failures.
fn middle(rounds: &[Figures]) -> Figures {
    let median = |of: &dyn Fn(&Figures) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    let sum = |of: fn(&Figures) -> Frames| {
        let mut frames = Frames::default();
        for round in rounds {
            frames += of(round);
        }
        frames
    };
    Figures {
        cpu_s_per_call_minute: median(&|it| it.cpu_s_per_call_minute),
        bytes_per_call: median(&|it| it.bytes_per_call),
        to_agent_us: [0, 1, 2].map(|n| median(&|it| it.to_agent_us[n])),
        to_callee_us: [0, 1, 2].map(|n| median(&|it| it.to_callee_us[n])),
        clear_p99_us: median(&|it| it.clear_p99_us),
        set_up_p95_us: median(&|it| it.set_up_p95_us),
        closed_p99_us: median(&|it| it.closed_p99_us),
        frames_to_agent: sum(|it| it.frames_to_agent),
        frames_to_callee: sum(|it| it.frames_to_callee),
        n_failed: rounds.iter().map(|it| it.n_failed).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values: Vec<u32> = (1..=1000).rev().collect();
        assert_eq!(quantile(&values, 0.5), 501.0);
        assert_eq!(quantile(&values, 0.999), 1000.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
