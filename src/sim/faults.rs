//! What goes wrong on the way, and how often.
//!
//! Shares are probabilities from 0 to 1. Which request is hit is a hash of the seed, the number
//! and how often that number was tried, so a run repeats.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The faults in force; everything is off by default. Also the body of `/sim/faults`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Share of status callbacks that are never sent.
    pub lost_callback: f64,
    /// Share of status callbacks that are sent `late_by_ms` after the event.
    pub late_callback: f64,
    /// Delay of a late callback or report in real milliseconds.
    pub late_by_ms: u64,
    /// Share of status callbacks that are sent twice.
    pub duplicate_callback: f64,
    /// Share of status callbacks that are held until later ones have overtaken them.
    pub reordered_callback: f64,
    /// Share of verdicts on who answered that are never called back; the call's resource has them.
    pub lost_verdict: f64,
    /// A call's price is not in its resource for so many real milliseconds more than usual.
    pub price_late_ms: u64,
    /// Share of recordings that cannot be deleted: whoever asks is answered 500.
    pub delete_recording_fails: f64,
    /// Share of reports on conversations that agents' vendors post `late_by_ms` after they are done.
    pub late_report: f64,
    /// Share of those reports that are posted twice.
    pub duplicate_report: f64,
    /// Share of call creations refused with 429; nothing is created.
    pub create_throttled: f64,
    /// Numbers by how they begin, each with the error number with which a call to them is refused;
    /// nothing is created.
    pub create_refused: BTreeMap<String, u32>,
    /// Share of call creations answered with 500; nothing is created.
    pub create_fails: f64,
    /// Share of call creations answered with 502 although the call was placed.
    pub create_fails_after_placing: f64,
    /// Share of call creations whose answer is withheld for `create_hangs_ms`; the call is placed.
    pub create_hangs: f64,
    /// How long a withheld answer takes in real milliseconds.
    pub create_hangs_ms: u64,
    /// Share of requests for other instructions in the middle of a call that are answered with 500.
    pub redirect_fails: f64,
    /// A new call shows up in lists after up to this many real milliseconds.
    pub list_lag_ms: u64,
    /// A recording's file is not there for so many real milliseconds after the call.
    pub recording_late_ms: u64,
    /// Whether parts of a recording can be had alone; the real carrier promises nothing.
    pub recording_in_parts: bool,
    /// Share of agent conversations refused when they are opened.
    pub agent_refuses: f64,
    /// Share of agent conversations that crash after the greeting (close 1011).
    pub agent_crashes: f64,
    /// Share of agent conversations that end for lack of quota (close 1002).
    pub agent_over_quota: f64,
    /// Share of agent conversations in which the agent never says a word.
    pub agent_silent: f64,
    /// Share of Vapi's calls that are refused when they are created (429). The other faults of agents
    /// are ElevenLabs'.
    pub vapi_refuses: f64,
    /// Share of Vapi's calls that break off after the greeting.
    pub vapi_crashes: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            lost_callback: 0.0,
            late_callback: 0.0,
            late_by_ms: 3_000,
            duplicate_callback: 0.0,
            reordered_callback: 0.0,
            lost_verdict: 0.0,
            price_late_ms: 0,
            delete_recording_fails: 0.0,
            late_report: 0.0,
            duplicate_report: 0.0,
            create_throttled: 0.0,
            create_refused: BTreeMap::new(),
            create_fails: 0.0,
            create_fails_after_placing: 0.0,
            create_hangs: 0.0,
            create_hangs_ms: 30_000,
            redirect_fails: 0.0,
            list_lag_ms: 0,
            recording_late_ms: 0,
            recording_in_parts: true,
            agent_refuses: 0.0,
            agent_crashes: 0.0,
            agent_over_quota: 0.0,
            agent_silent: 0.0,
            vapi_refuses: 0.0,
            vapi_crashes: 0.0,
        }
    }
}

impl Faults {
    /// These faults with the fields that `changes` names replaced.
    ///
    /// Fails with a sentence when a field is unknown or a value does not fit.
    pub fn changed(&self, changes: serde_json::Value) -> Result<Self, String> {
        let serde_json::Value::Object(changes) = changes else {
            return Err("faults are a JSON object".to_owned());
        };
        let mut fields = serde_json::to_value(self).map_err(|error| error.to_string())?;
        for (name, value) in changes {
            fields[name] = value;
        }
        let faults: Self = serde_json::from_value(fields).map_err(|error| error.to_string())?;
        faults.checked()
    }

    /// The error number with which calls to `number` are refused, if they are.
    pub fn refusal_of(&self, number: &str) -> Option<u32> {
        let mut refused = self.create_refused.iter();
        refused
            .find(|(beginning, _)| number.starts_with(*beginning))
            .map(|(_, code)| *code)
    }

    fn checked(self) -> Result<Self, String> {
        let shares = [
            ("lost_callback", self.lost_callback),
            ("late_callback", self.late_callback),
            ("duplicate_callback", self.duplicate_callback),
            ("reordered_callback", self.reordered_callback),
            ("lost_verdict", self.lost_verdict),
            ("delete_recording_fails", self.delete_recording_fails),
            ("redirect_fails", self.redirect_fails),
            ("late_report", self.late_report),
            ("duplicate_report", self.duplicate_report),
            ("create_throttled", self.create_throttled),
            ("create_fails", self.create_fails),
            (
                "create_fails_after_placing",
                self.create_fails_after_placing,
            ),
            ("create_hangs", self.create_hangs),
            ("agent_refuses", self.agent_refuses),
            ("agent_crashes", self.agent_crashes),
            ("agent_over_quota", self.agent_over_quota),
            ("agent_silent", self.agent_silent),
            ("vapi_refuses", self.vapi_refuses),
            ("vapi_crashes", self.vapi_crashes),
        ];
        match shares
            .iter()
            .find(|(_, share)| !(0.0..=1.0).contains(share))
        {
            Some((name, share)) => Err(format!("{name} is a share from 0 to 1, not {share}")),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let faults = Faults {
            lost_callback: 0.1,
            ..Faults::default()
        };
        let changed = faults.changed(json!({"list_lag_ms": 800})).unwrap();
        assert_eq!(
            changed,
            Faults {
                list_lag_ms: 800,
                ..faults
            }
        );
    }

    #[test]
    fn numbers_are_refused_by_how_they_begin() {
        let faults = Faults::default()
            .changed(json!({"create_refused": {"+44": 21215}}))
            .unwrap();
        assert_eq!(faults.refusal_of("+442079460000"), Some(21215));
        assert_eq!(faults.refusal_of("+12025550100"), None);
    }

    #[test]
    fn unknown_names_and_impossible_shares_are_refused() {
        let faults = Faults::default();
        assert!(faults.changed(json!({"lost_calback": 0.1})).is_err());
        let refusal = faults.changed(json!({"agent_silent": 1.5})).unwrap_err();
        assert_eq!(refusal, "agent_silent is a share from 0 to 1, not 1.5");
        assert!(faults.changed(json!([1])).is_err());
    }
}
