//! What Twilio's numbers and status words mean.
//!
//! Pure tables. Error numbers: <https://www.twilio.com/docs/api/errors>. What a class leads to is
//! the engine's business.

use std::time::Duration;

use crate::domain::{
    outcome::{Fault, FaultClass},
    signal::{CallEnd, SignalKind},
};

/// A call status that is not in Twilio's documentation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown call status {0:?}")]
pub struct UnknownStatus(pub String);

/// What Twilio tells beside a call's status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndDetails {
    /// From the answer to the end.
    pub duration: Option<Duration>,
    /// The network's result code (SIP).
    pub sip_code: Option<u16>,
    /// Twilio's error number.
    pub error_code: Option<u32>,
    /// Twilio's words for the error.
    pub error_message: Option<String>,
}

/// What a call status says has happened.
///
/// `initiated` exists in callbacks only, `queued` in the resource only. There is no status
/// `answered`: that event is told as `in-progress`.
pub fn signal_kind(status: &str, details: EndDetails) -> Result<SignalKind, UnknownStatus> {
    let end = match status {
        "queued" | "initiated" => return Ok(SignalKind::Placed),
        "ringing" => return Ok(SignalKind::Ringing),
        "in-progress" => return Ok(SignalKind::Answered),
        "completed" => CallEnd::Completed,
        "busy" => CallEnd::Busy,
        "no-answer" => CallEnd::NoAnswer,
        "canceled" => CallEnd::Canceled,
        "failed" => end_of_failed(&details),
        _ => return Err(UnknownStatus(status.to_owned())),
    };
    Ok(over(end, details))
}

fn over(end: CallEnd, details: EndDetails) -> SignalKind {
    // A call that nobody answered is told with a duration of 0, which is not a talk of no length.
    let was_answered = end == CallEnd::Completed;
    SignalKind::Over {
        end,
        duration: details
            .duration
            .filter(|length| was_answered || !length.is_zero()),
        network_code: details.sip_code,
    }
}

/// How a call ended that Twilio calls `failed`: its own error number first, then the network's.
fn end_of_failed(details: &EndDetails) -> CallEnd {
    match details.error_code {
        Some(31480) => return CallEnd::NoAnswer,
        Some(31486 | 31600 | 31603 | 34002) => return CallEnd::Busy,
        Some(code) => {
            return CallEnd::Failed(Fault {
                class: fault_class(code),
                code: Some(code),
                detail: failure_text(details),
            });
        }
        None => {}
    }
    let class = match details.sip_code {
        // Handsets that are off are reported this way; for a person that is "not answered".
        Some(480) => return CallEnd::NoAnswer,
        Some(404 | 410 | 484 | 604) => FaultClass::Number,
        Some(_) | None => FaultClass::Network,
    };
    CallEnd::Failed(Fault {
        class,
        code: None,
        detail: failure_text(details),
    })
}

fn failure_text(details: &EndDetails) -> String {
    match (&details.error_message, details.sip_code) {
        (Some(message), _) if !message.is_empty() => message.clone(),
        (_, Some(404 | 410 | 484 | 604)) => "the network knows no such number".to_owned(),
        (_, Some(code)) => format!("the network could not connect the call (SIP {code})"),
        (_, None) => "the call could not be connected".to_owned(),
    }
}

/// Whose fault an error number is.
pub fn fault_class(code: u32) -> FaultClass {
    // Exact numbers first: some lie inside a range that means something else.
    known_class(code)
        .or_else(|| is_ours(code).then_some(FaultClass::Ours))
        .unwrap_or(FaultClass::Unclassified)
}

fn known_class(code: u32) -> Option<FaultClass> {
    let class = match code {
        // Credentials, balance, suspension, missing rights, trial limits.
        10001 | 10002 | 10005 | 13805 | 20003 | 20005 | 20006 | 20010 | 20403 | 32005 => {
            FaultClass::Account
        }
        // Impossible, premium, unreachable, blocked, unverified (trial), without consent.
        13223 | 13224 | 13225 | 13226 | 21202 | 21211 | 21214 | 21216 | 21217 | 21219 | 31604
        | 32100 | 32203 | 37000 | 37001 => FaultClass::Number,
        // Not ours, malformed, on the do-not-originate list, unattested, bad reputation.
        13247 | 21210 | 21212 | 32017 | 32020 | 32021 | 32204 | 32206 => FaultClass::CallerNumber,
        // Geographic permissions.
        13227 | 21203 | 21215 | 32205 => FaultClass::Destination,
        // Too many requests, calls or call starts.
        10004 | 20429 | 32001 | 32012 | 32013 => FaultClass::Limit,
        // Twilio's or the network's trouble; 32014 and 32015 end calls that had been answered.
        20162 | 20409 | 20500 | 20503 | 20504 | 31480 | 31486 | 31487 | 31600 | 31603 | 32014
        | 32015 | 32016 | 34002 => FaultClass::Network,
        _ => return None,
    };
    Some(class)
}

/// Requests, addresses, instructions, media sockets and trunks that we or the operator set up.
fn is_ours(code: u32) -> bool {
    matches!(
        code,
        20001 | 20002 | 20004 | 20007 | 20008 | 20404 | 20413 | 20422 | 20423
            | 21201 | 21205..=21209 | 21213 | 21218 | 21220..=21229 | 21234 | 21262..=21264
            | 11200..=11299 | 11750 | 11770
            | 12100..=12499
            | 13201..=13256 | 13310..=13342 | 13410..=13430 | 13510..=13521 | 13710 | 13910 | 13801
            | 31900..=31960
            | 32009..=32011 | 32018 | 32019 | 32022 | 32101..=32115 | 32200..=32223
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves F-21
    #[test]
    fn every_error_number_of_the_reference_has_its_class() {
        use FaultClass::{
            Account, CallerNumber, Destination, Limit, Network, Number, Ours, Unclassified,
        };
        let table: &[(FaultClass, &[u32])] = &[
            (
                Account,
                &[
                    20003, 20005, 10001, 20006, 20403, 20010, 10002, 10005, 32005, 13805,
                ],
            ),
            (
                Number,
                &[
                    21202, 21211, 21217, 13223, 13226, 21214, 21216, 13225, 32203, 13224, 21219,
                    32100, 31604, 37000, 37001,
                ],
            ),
            (
                CallerNumber,
                &[21210, 13247, 32204, 32206, 21212, 32017, 32020, 32021],
            ),
            (Destination, &[21203, 21215, 13227, 32205]),
            (Limit, &[20429, 10004, 32001, 32012, 32013]),
            (
                Network,
                &[
                    20409, 20162, 20500, 20503, 20504, 32014, 32015, 32016, 31480, 31486, 31487,
                    31600, 31603, 34002,
                ],
            ),
            (
                Ours,
                &[
                    20001, 20002, 20422, 20423, 20004, 20007, 20008, 20404, 20413, 21201, 21205,
                    21206, 21207, 21208, 21209, 21218, 21234, 21213, 21220, 21221, 21229, 21262,
                    21263, 21264, 11200, 11201, 11202, 11203, 11205, 11206, 11210, 11217, 11215,
                    11216, 11220, 11235, 11236, 11237, 11240, 11243, 11750, 11770, 12100, 12101,
                    12102, 12200, 12300, 12400, 13201, 13256, 13310, 13342, 13410, 13430, 13510,
                    13521, 13710, 13910, 13801, 31900, 31920, 31921, 31951, 31960, 32009, 32010,
                    32011, 32022, 32101, 32115, 32200, 32223, 32018, 32019,
                ],
            ),
            (Unclassified, &[0, 1, 29999, 99999]),
        ];
        for (class, codes) in table {
            for code in *codes {
                assert_eq!(fault_class(*code), *class, "{code}");
            }
        }
    }

    fn failed(sip_code: Option<u16>, error_code: Option<u32>) -> CallEnd {
        let details = EndDetails {
            sip_code,
            error_code,
            ..EndDetails::default()
        };
        match signal_kind("failed", details) {
            Ok(SignalKind::Over { end, .. }) => end,
            other => panic!("not an end: {other:?}"),
        }
    }

    fn class(end: &CallEnd) -> Option<FaultClass> {
        match end {
            CallEnd::Failed(fault) => Some(fault.class),
            CallEnd::Completed | CallEnd::Busy | CallEnd::NoAnswer | CallEnd::Canceled => None,
        }
    }

    #[test]
    fn a_failed_call_is_told_apart_by_the_networks_code() {
        for code in [404, 410, 484, 604] {
            assert_eq!(
                class(&failed(Some(code), None)),
                Some(FaultClass::Number),
                "{code}"
            );
        }
        for code in [403, 488, 500, 503] {
            assert_eq!(
                class(&failed(Some(code), None)),
                Some(FaultClass::Network),
                "{code}"
            );
        }
        assert_eq!(failed(Some(480), None), CallEnd::NoAnswer);
        assert_eq!(class(&failed(None, None)), Some(FaultClass::Network));
    }

    #[test]
    fn twilios_own_number_outweighs_the_networks() {
        assert_eq!(
            class(&failed(Some(503), Some(32017))),
            Some(FaultClass::CallerNumber)
        );
        assert_eq!(failed(Some(404), Some(31486)), CallEnd::Busy);
    }

    // proves F-19
    #[test]
    fn in_progress_means_answered_and_answered_is_no_status() {
        let kind = |status| signal_kind(status, EndDetails::default());
        assert_eq!(kind("in-progress"), Ok(SignalKind::Answered));
        assert_eq!(kind("queued"), Ok(SignalKind::Placed));
        assert_eq!(kind("initiated"), Ok(SignalKind::Placed));
        assert_eq!(kind("ringing"), Ok(SignalKind::Ringing));
        assert_eq!(kind("answered"), Err(UnknownStatus("answered".to_owned())));
    }

    #[test]
    fn a_call_that_nobody_answered_has_no_duration() {
        let details = || EndDetails {
            duration: Some(Duration::ZERO),
            ..EndDetails::default()
        };
        let duration_of = |status| match signal_kind(status, details()) {
            Ok(SignalKind::Over { duration, .. }) => duration,
            other => panic!("not an end: {other:?}"),
        };
        assert_eq!(duration_of("busy"), None);
        assert_eq!(duration_of("completed"), Some(Duration::ZERO));
    }
}
