use std::collections::BTreeSet;

use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    campaign::tests as campaigns,
    consent::{Consent, ConsentKind},
    contact::Fields,
    ids::{ContactId, EnrollmentId, PlaceKey, SuppressionId, TenantId},
    outcome::{Fault, FaultClass, Outcome},
    person::PastAttempt,
    profile::Share,
    retry::{Tally, next_due},
    suppression::{Scope, Subject, Suppression, SuppressionSource},
    window::{Slot, tests::is_open_naively},
};

/// A Tuesday, 10:00 in New York.
const NOW: &str = "2026-12-01T15:00:00Z";

const HOUR: Duration = Duration::from_secs(3600);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ago(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_sub(wait).unwrap()
}

/// A contact in New York that may be called at [`NOW`], until a test changes something.
struct Case {
    campaign: Campaign,
    enrollment: Enrollment,
    place: Place,
    own: CampaignRules,
    added: Holidays,
    person: Person,
    ring: Duration,
}

impl Case {
    fn new() -> Self {
        let campaign = campaigns::campaign(CampaignStatus::Active);
        let enrollment = Enrollment {
            id: EnrollmentId::new(Uuid::from_u128(2)),
            tenant: TenantId::DEFAULT,
            campaign: campaign.id,
            contact: ContactId::new(Uuid::from_u128(3)),
            phone: "+12125550143".parse().unwrap(),
            place: PlaceKey::new(""),
            name: None,
            fields: Fields::new(),
            state: EnrollmentState::Waiting {
                due_at: at("2026-01-01T00:00:00Z"),
                held_by: None,
            },
            cursor: 0,
            n_attempts: 0,
            n_counted: 0,
            tally: Tally::new(),
            version: 1,
        };
        Self {
            campaign,
            enrollment,
            place: "US-NY|America/New_York".parse().unwrap(),
            own: CampaignRules::default(),
            added: Holidays::default(),
            person: Person::default(),
            ring: Duration::from_secs(25),
        }
    }

    fn with_profile(profile: &str) -> Self {
        let mut case = Self::new();
        case.own.profile = profile.parse().unwrap();
        case
    }

    fn called(&mut self, times: impl IntoIterator<Item = Timestamp>) {
        let attempts = times.into_iter().map(|at| PastAttempt {
            at,
            kind: PastAttemptKind::Ended,
            abandoned: false,
        });
        self.person.attempts.extend(attempts);
    }

    fn facts<'a>(&'a self, rules: &'a RuleSet) -> Facts<'a> {
        Facts {
            campaign: &self.campaign,
            enrollment: &self.enrollment,
            place: &self.place,
            rules,
            person: &self.person,
            expected_ring: self.ring,
        }
    }

    fn judge_with(&self, rules: &RuleSet, at: Timestamp) -> Judgement {
        explain(&self.facts(rules), at)
    }

    fn judge(&self, at: Timestamp) -> Judgement {
        self.judge_with(&RuleSet::new(&self.own, &self.added, at), at)
    }

    /// The rule that decides at an instant, and the first instant when all allow it.
    fn decision(&self, now: &str) -> (Option<Rule>, Option<String>) {
        let judgement = self.judge(at(now));
        let next = judgement.next_at().map(|it| it.to_string());
        (judgement.decided_by(), next)
    }
}

fn held(rule: Rule, until: &str) -> (Option<Rule>, Option<String>) {
    (Some(rule), Some(until.to_owned()))
}

fn stopped(rule: Rule) -> (Option<Rule>, Option<String>) {
    (Some(rule), None)
}

fn suppression(scope: Scope) -> Suppression {
    Suppression {
        id: SuppressionId::new(Uuid::from_u128(9)),
        tenant: TenantId::DEFAULT,
        subject: Subject::Phone("+12125550143".parse().unwrap()),
        scope,
        source: SuppressionSource::Keypad,
        reason: None,
        at: at("2026-11-01T00:00:00Z"),
    }
}

fn consent(kind: ConsentKind) -> Option<Consent> {
    Some(Consent {
        kind,
        source: "form".to_owned(),
        at: at("2026-11-01T00:00:00Z"),
    })
}

#[test]
fn when_nothing_is_in_the_way_every_rule_allows() {
    let judgement = Case::new().judge(at(NOW));
    assert_eq!(judgement.verdict(), Verdict::Allowed);
    assert_eq!(judgement.next_at(), Some(at(NOW)));
    let rules: Vec<_> = judgement.findings().iter().map(|it| it.rule).collect();
    assert_eq!(rules, Rule::of_person().collect::<Vec<_>>());
}

// proves F-67
#[test]
fn each_blocker_is_named_with_its_next_instant() {
    let case = |change: fn(&mut Case)| {
        let mut case = Case::new();
        change(&mut case);
        case.decision(NOW)
    };
    for (decision, expected) in [
        (
            case(|it| {
                it.enrollment.state = EnrollmentState::Finished {
                    outcome: None,
                    by_rule: None,
                    at: at(NOW),
                }
            }),
            stopped(Rule::NothingOpen),
        ),
        (
            case(|it| it.campaign.status = CampaignStatus::Draft),
            stopped(Rule::CampaignActive),
        ),
        (
            case(|it| it.enrollment.phone = "+1212555".parse().unwrap()),
            stopped(Rule::NumberValid),
        ),
        (
            case(|it| it.person.suppressions.push(suppression(Scope::All))),
            stopped(Rule::Suppression),
        ),
        (
            case(|it| it.own.requires_consent = true),
            stopped(Rule::Consent),
        ),
        (
            case(|it| it.enrollment.n_counted = 3),
            stopped(Rule::AttemptBudget),
        ),
        (
            case(|it| {
                it.enrollment.state = EnrollmentState::Waiting {
                    due_at: at("2026-12-01T15:30:00Z"),
                    held_by: None,
                };
            }),
            held(Rule::Due, "2026-12-01T15:30:00Z"),
        ),
        (
            case(|it| it.own.window = Some("mon-fri 13:00-20:00".parse().unwrap())),
            held(Rule::CallingWindow, "2026-12-01T18:00:00Z"),
        ),
        (
            case(|it| {
                it.own.observes_holidays = true;
                it.added
                    .add(None, "2026-12-01".parse().unwrap(), "Founder's Day");
            }),
            held(Rule::Holiday, "2026-12-02T13:00:00Z"),
        ),
        (
            case(|it| {
                it.called([at("2026-12-01T14:00:00Z")]);
                it.person.attempts[0].kind = PastAttemptKind::Unknown;
            }),
            stopped(Rule::OneCallAtATime),
        ),
        (
            case(|it| {
                it.own.caps = vec![Cap {
                    most: 1,
                    within: 2 * HOUR,
                }];
                it.called([at("2026-12-01T14:00:00Z")]);
            }),
            held(Rule::FrequencyCap, "2026-12-01T16:00:00Z"),
        ),
        (
            case(|it| {
                it.own.min_gap = Some(HOUR);
                it.called([at("2026-12-01T14:30:00Z")]);
            }),
            held(Rule::MinimumGap, "2026-12-01T15:30:00Z"),
        ),
        (
            case(|it| {
                it.own.profile = "us-strict".parse().unwrap();
                it.person.consent = consent(ConsentKind::Written);
                it.called([at("2026-11-30T15:00:00Z")]);
                it.person.attempts[0].abandoned = true;
            }),
            held(Rule::AbandonedRest, "2026-12-03T15:00:00Z"),
        ),
    ] {
        assert_eq!(decision, expected);
    }
}

// proves F-67
#[test]
fn two_blockers_are_both_found_and_the_later_instant_counts() {
    let mut case = Case::new();
    case.own.window = Some("mon-fri 13:00-20:00".parse().unwrap());
    case.own.min_gap = Some(5 * HOUR);
    case.called([at("2026-12-01T14:30:00Z")]);
    let judgement = case.judge(at(NOW));
    let held: Vec<_> = judgement
        .findings()
        .iter()
        .filter(|it| it.verdict != Verdict::Allowed)
        .map(|it| it.rule)
        .collect();
    assert_eq!(held, [Rule::CallingWindow, Rule::MinimumGap]);
    assert_eq!(judgement.decided_by(), Some(Rule::CallingWindow));
    assert_eq!(judgement.next_at(), Some(at("2026-12-01T19:30:00Z")));
    let values = &judgement.decider().unwrap().values;
    assert_eq!(values["window"], "mon-fri 13:00-20:00");
    assert_eq!(
        values["local"],
        "2026-12-01T10:00:00-05:00[America/New_York]"
    );
}

#[test]
fn what_will_never_be_allowed_decides_before_what_waits() {
    let mut case = Case::new();
    case.own.window = Some("mon-fri 13:00-20:00".parse().unwrap());
    case.enrollment.n_counted = 3;
    case.campaign.status = CampaignStatus::Active;
    assert_eq!(case.decision(NOW), stopped(Rule::AttemptBudget));
    assert_eq!(case.judge(at(NOW)).verdict(), Verdict::Never);
}

// proves F-74
#[test]
fn a_cap_that_ends_at_night_waits_for_the_morning() {
    let mut case = Case::with_profile("us-strict");
    case.person.consent = consent(ConsentKind::Express);
    case.place = "US-FL|America/New_York".parse().unwrap();
    case.called(
        [
            "2026-12-01T00:30:00Z",
            "2026-12-01T13:30:00Z",
            "2026-12-01T14:00:00Z",
        ]
        .map(at),
    );
    // The first of the three is 24 hours old at 19:30 local time, within the hours of Florida.
    assert_eq!(
        case.decision(NOW),
        held(Rule::FrequencyCap, "2026-12-02T00:30:00Z")
    );
    // With a ring that ends after 20:00 it is the next morning.
    case.person.attempts[0].at = at("2026-12-01T00:59:50Z");
    assert_eq!(
        case.decision(NOW),
        held(Rule::FrequencyCap, "2026-12-02T13:00:00Z")
    );
}

// proves F-50, F-71
#[test]
fn a_suppression_on_voice_or_on_all_stops_and_on_another_channel_does_not() {
    for (scope, expected) in [
        (Scope::All, Some(Rule::Suppression)),
        (Scope::Channel(Channel::Voice), Some(Rule::Suppression)),
        (Scope::Channel(Channel::Email), None),
    ] {
        let mut case = Case::new();
        case.person.suppressions.push(suppression(scope));
        assert_eq!(case.judge(at(NOW)).decided_by(), expected, "{scope:?}");
    }
}

// proves F-71
#[test]
fn a_reserved_attempt_is_looked_at_again_before_it_is_dialed() {
    let mut case = Case::new();
    case.enrollment.n_counted = 3;
    case.enrollment.state = EnrollmentState::Finished {
        outcome: None,
        by_rule: None,
        at: at(NOW),
    };
    let dial = |case: &Case| {
        let rules = RuleSet::new(&case.own, &case.added, at(NOW));
        let facts = Facts {
            campaign: &case.campaign,
            enrollment: &case.enrollment,
            place: &case.place,
            rules: &rules,
            person: &case.person,
            expected_ring: case.ring,
        };
        judge_dial(&facts, at(NOW)).decided_by()
    };
    assert_eq!(
        dial(&case),
        None,
        "the attempt is its own, the budget has counted it"
    );
    case.person.suppressions.push(suppression(Scope::All));
    assert_eq!(dial(&case), Some(Rule::Suppression));
}

#[test]
fn consent_is_given_in_words_or_writing_and_until_it_is_taken_back() {
    for (consent, expected) in [
        (None, Some(Rule::Consent)),
        (consent(ConsentKind::Implied), Some(Rule::Consent)),
        (consent(ConsentKind::Withdrawn), Some(Rule::Consent)),
        (consent(ConsentKind::Express), None),
        (consent(ConsentKind::Written), None),
    ] {
        let mut case = Case::with_profile("us-strict");
        case.person.consent = consent;
        assert_eq!(case.judge(at(NOW)).decided_by(), expected);
    }
}

#[test]
fn holidays_are_those_of_the_profile_the_region_and_the_tenant() {
    let christmas = "2026-12-25T15:00:00Z";
    let decided = |profile: &str, place: &str, now: &str, observes: bool| {
        let mut case = Case::with_profile(profile);
        case.place = place.parse().unwrap();
        case.person.consent = consent(ConsentKind::Written);
        case.own.observes_holidays = observes;
        case.judge(at(now)).decided_by()
    };
    let (new_york, alabama) = ("US-NY|America/New_York", "US-AL|America/Chicago");
    assert_eq!(decided("us-federal", new_york, christmas, false), None);
    assert_eq!(
        decided("us-federal", new_york, christmas, true),
        Some(Rule::Holiday)
    );
    assert_eq!(decided("us-strict", new_york, christmas, false), None);
    assert_eq!(
        decided("us-strict", alabama, christmas, false),
        Some(Rule::Holiday)
    );
    assert_eq!(
        decided("none", new_york, christmas, true),
        Some(Rule::Holiday)
    );
    // Boxing Day 2026 is kept on Monday 28 December; on it hours are 9 to 20.
    let london = "GB|Europe/London";
    assert_eq!(
        decided("uk", london, "2026-12-28T08:30:00Z", false),
        Some(Rule::Holiday)
    );
    assert_eq!(decided("uk", london, "2026-12-28T09:30:00Z", false), None);
    assert_eq!(
        decided("uk", london, "2026-12-28T20:30:00Z", false),
        Some(Rule::Holiday)
    );
    assert_eq!(decided("uk", london, "2026-12-29T20:30:00Z", false), None);
}

#[test]
fn a_campaign_adds_to_its_profile_and_takes_nothing_away() {
    let own = CampaignRules {
        profile: "us-strict".parse().unwrap(),
        window: Some("mon-sun 06:00-19:00".parse().unwrap()),
        caps: vec![Cap {
            most: 5,
            within: 48 * HOUR,
        }],
        min_gap: Some(HOUR),
        ..CampaignRules::default()
    };
    let rules = RuleSet::new(&own, &Holidays::default(), at(NOW));
    let florida = rules.in_region(&"US-FL".parse().unwrap());
    assert_eq!(florida.window.to_string(), "mon-sun 08:00-19:00");
    assert_eq!(florida.caps.len(), 2);
    assert_eq!(florida.min_gap, Some(HOUR));
    assert!(florida.requires_consent);
}

// proves F-73
#[test]
fn a_phone_that_would_ring_too_briefly_is_not_called() {
    let mut case = Case::new();
    let Some(Step::VoiceCall(call)) = case.campaign.steps.first_mut() else {
        panic!("the campaign calls");
    };
    call.ring_timeout = Duration::from_secs(14);
    assert_eq!(case.decision(NOW), stopped(Rule::LeastRing));
}

// proves F-75
#[test]
fn a_decision_is_made_again_from_its_record() {
    let case = Case::new();
    let early = at("2026-12-01T12:30:00Z");
    let judgement = case.judge(early);
    let now = RuleSet::new(&case.own, &case.added, early);
    let record = DecisionRecord::new(&case.facts(&now), early);
    assert_eq!(record.local, "2026-12-01T07:30:00-05:00[America/New_York]");
    assert_eq!(record.zone_source, ZoneSource::Number);
    assert_eq!(record.region, "US-NY");
    let profile = Profile::find_version(record.profile.parse().unwrap(), &record.profile_version);
    let rules = RuleSet::with_profile(profile.unwrap(), &case.own, &case.added);
    assert_eq!(case.judge_with(&rules, record.at), judgement);
    assert_eq!(judgement.decided_by(), Some(Rule::CallingWindow));
}

// proves F-13
#[test]
fn a_retry_is_due_to_the_second_or_at_the_next_opening() {
    let fault = |class| {
        Outcome::Failed(Fault {
            class,
            code: None,
            detail: String::new(),
        })
    };
    let again = [
        Outcome::Busy,
        Outcome::NoAnswer,
        Outcome::Voicemail,
        fault(FaultClass::Network),
        fault(FaultClass::Limit),
    ];
    let over = [
        Outcome::Answered,
        Outcome::Abandoned,
        Outcome::Canceled,
        fault(FaultClass::Number),
    ];
    let slots = "mon-sun 08:00-21:00".parse::<Window>().unwrap().slots();
    let openings = [
        "2026-12-01T13:00:00Z",
        "2026-12-02T13:00:00Z",
        "2026-12-03T13:00:00Z",
    ];
    for delay in [5 * 60, 2 * 3600, 24 * 3600].map(Duration::from_secs) {
        // So that it is due around the opening, in the middle, and around the closing.
        for due in [
            "2026-12-02T12:59:59Z",
            "2026-12-02T13:00:00Z",
            "2026-12-02T18:00:01Z",
            "2026-12-03T01:59:34Z",
            "2026-12-03T01:59:35Z",
            "2026-12-03T02:00:00Z",
        ] {
            let (due, now) = (at(due), ago(at(due), delay));
            let is_open = |it| is_open_naively(&slots, Case::new().place.zones(), it);
            let expected = if is_open(due) && is_open(due + Duration::from_secs(25)) {
                due
            } else {
                openings.map(at).into_iter().find(|it| *it >= due).unwrap()
            };
            for (outcome, is_again) in again
                .iter()
                .map(|it| (it, true))
                .chain(over.iter().map(|it| (it, false)))
            {
                let mut case = Case::new();
                let retry = &mut case.campaign.retry;
                retry.jitter = Share::per_mille(0).unwrap();
                for rule in retry.rules.values_mut() {
                    rule.delay = delay.into();
                }
                let tally = Tally::from_iter(outcome.retry_kind().map(|kind| (kind, 1)));
                let id = case.enrollment.next_attempt_id();
                let due_at = next_due(&case.campaign.retry, &tally, id, 1, outcome, now);
                assert_eq!(due_at.is_some(), is_again, "{outcome}");
                let Some(due_at) = due_at else { continue };
                case.enrollment.state = EnrollmentState::Waiting {
                    due_at,
                    held_by: None,
                };
                assert_eq!(
                    case.judge(now).next_at(),
                    Some(expected),
                    "{outcome} {delay:?}"
                );
            }
        }
    }
}

#[test]
fn names_are_read_back_and_every_rule_has_a_sentence() {
    let mut sentences = BTreeSet::new();
    for rule in Rule::ALL {
        assert_eq!(Rule::from_name(rule.name()), Some(rule));
        assert!(rule.sentence().ends_with('.'));
        sentences.insert(rule.sentence());
    }
    assert_eq!(sentences.len(), Rule::ALL.len());
    assert_eq!(Rule::from_name("mood"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 64 } else { 2_000 }))]

    // proves F-74, F-67
    #[test]
    fn the_next_instant_is_the_first_at_which_all_rules_allow(
        attempts in proptest::collection::vec((0_i64..3_000, any::<bool>()), 0..6),
        most in 1_u32..4,
        cap_hours in 1_u64..30,
        gap_minutes in 0_u64..600,
        due in -300_i64..600,
        start in 0_i64..14 * 1_440,
        from in 0_u16..1_300,
        length in 10_u16..140,
        ring_minutes in 0_u64..3,
    ) {
        let minute = |n: i64| Timestamp::from_second(1_793_404_800 + 60 * n).unwrap();
        let time = |n: u16| crate::domain::window::TimeOfDay::from_minutes(n).unwrap();
        let now = minute(start);
        let mut case = Case::with_profile("us-strict");
        case.person.consent = consent(ConsentKind::Written);
        case.own.window = Some(Window::daily(time(from), time(from + length)).unwrap());
        case.own.caps = vec![Cap { most, within: Duration::from_secs(3600 * cap_hours) }];
        case.own.min_gap = Some(Duration::from_secs(60 * gap_minutes));
        case.enrollment.state = EnrollmentState::Waiting { due_at: minute(start + due), held_by: None };
        case.ring = Duration::from_secs(60 * ring_minutes);
        case.called(attempts.iter().map(|(before, _)| minute(start - before)));
        for (attempt, (_, abandoned)) in case.person.attempts.iter_mut().zip(&attempts) {
            attempt.abandoned = *abandoned;
        }
        let slots = case.own.window.as_ref().unwrap().slots();
        let federal: Vec<Slot> = "mon-sun 08:00-21:00".parse::<Window>().unwrap().slots();
        let zones = case.place.zones().to_vec();
        // Each rule in its plain meaning, minute by minute.
        let allowed = |n: i64| {
            let t = minute(n);
            let open = |extra: u64| {
                let t = t + Duration::from_secs(60 * extra);
                is_open_naively(&slots, &zones, t) && is_open_naively(&federal, &zones, t)
            };
            let times = || attempts.iter().map(|(before, _)| start - before);
            let cap = i64::try_from(60 * cap_hours).unwrap();
            let gap = i64::try_from(gap_minutes).unwrap();
            let rests = |(before, abandoned): &(i64, bool)| *abandoned && n < start - before + 72 * 60;
            n >= start + due
                && (0..=ring_minutes).all(open)
                && times().filter(|it| n < it + cap).count() < usize::try_from(most).unwrap()
                && times().all(|it| n >= it + gap)
                && !attempts.iter().any(rests)
        };
        let judgement = case.judge(now);
        prop_assert_eq!(judgement.verdict() == Verdict::Allowed, allowed(start));
        let first = (start..start + 10 * 1_440).find(|n| allowed(*n)).map(minute);
        match first {
            Some(first) => prop_assert_eq!(judgement.next_at(), Some(first)),
            None => prop_assert!(judgement.next_at().is_none_or(|it| it >= minute(start + 10 * 1_440))),
        }
    }
}

/// A stream of numbers that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.roll(u64::try_from(of.len()).unwrap())).unwrap()]
    }
}

/// Calling hours of every kind, with their plain meaning.
fn kinds_of_hours() -> Vec<(RuleSet, Vec<Slot>)> {
    let hours = [
        "mon-sun 08:00-21:00",
        "mon-fri 09:00-12:00 13:00-20:00, sat 09:00-17:00",
        "mon-sun 22:00-03:00",
        "sat-sun 00:00-04:00",
        "sun 01:30-02:30, sun 02:45-24:00",
        "mon-sun 00:00-24:00",
    ];
    hours
        .map(|text| {
            let window: Window = text.parse().unwrap();
            let slots = window.slots();
            let own = CampaignRules {
                profile: ProfileId::NONE,
                window: Some(window),
                ..CampaignRules::default()
            };
            (RuleSet::new(&own, &Holidays::default(), at(NOW)), slots)
        })
        .to_vec()
}

// proves F-69
#[test]
fn no_simulated_dial_rings_outside_hours() {
    let n_dials = if cfg!(debug_assertions) {
        100_000
    } else {
        1_000_000
    };
    let database = TimeZoneDatabase::bundled();
    let zones: Vec<Zone> = database
        .available()
        .filter_map(|name| name.as_str().parse().ok())
        .collect();
    assert!(zones.len() > 500, "every zone is dialed");
    let kinds = kinds_of_hours();
    let mut dice = Dice(69);
    let (mut n_allowed, mut n_outside, mut n_missed) = (0, 0, 0);
    for n in 0..n_dials {
        let zone = &zones[n % zones.len()];
        // One place in four has a second zone, and then both must be open.
        let more = (dice.roll(4) == 0).then(|| dice.pick(&zones).clone());
        let place = Place::new(RegionCode::unknown(), zone.clone(), more);
        let (rules, slots) = dice.pick(&kinds);
        let at = any_instant(zone, &mut dice);
        let ring = Duration::from_millis(dice.roll(60_000));
        // Ringing is shorter than any slot or gap, so its ends and the minutes between tell all.
        let is_open = |after| is_open_naively(slots, place.zones(), later(at, after));
        let steps = [ring / 4, ring / 2, 3 * (ring / 4)];
        let expected = is_open(Duration::ZERO) && steps.into_iter().all(is_open) && is_open(ring);
        match opening_of(rules, &place, ring, at) {
            Opening::Open { .. } => {
                n_allowed += 1;
                n_outside += u32::from(!expected);
            }
            Opening::Closed { opens_at } => {
                n_missed += u32::from(expected);
                let Some(opens_at) = opens_at else { continue };
                let is_open = |it| is_open_naively(slots, place.zones(), it);
                n_outside += u32::from(!is_open(opens_at) || !is_open(later(opens_at, ring)));
                n_missed += u32::from(opens_at <= at);
            }
        }
    }
    println!("{n_dials} dials judged, {n_allowed} allowed, {n_outside} outside, {n_missed} missed");
    assert_eq!((n_outside, n_missed), (0, 0));
    assert!(n_allowed > n_dials / 10, "dials were allowed at all");
}

/// A moment of a zone's life: within two days of a clock change, or any, to the millisecond.
fn any_instant(zone: &Zone, dice: &mut Dice) -> Timestamp {
    let start = 1_767_225_600 + i64::try_from(dice.roll(4 * 31_557_600)).unwrap();
    let start = Timestamp::from_second(start).unwrap();
    let change = match dice.roll(2) {
        0 => zone.tz().following(start).next(),
        _ => None,
    };
    let near = change.map_or(start, |it| ago(it.timestamp(), 24 * HOUR));
    near + Duration::from_millis(dice.roll(48 * 3_600_000))
}
