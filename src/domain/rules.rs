//! Whether an enrollment may be worked on, which rule decides, and when it may be.
//!
//! Asked when a claimed enrollment is about to get an attempt ([`judge`]), and again at the moment
//! of dialing ([`judge_dial`]): what is allowed when it is planned may not be when it is done.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Timestamp,
    campaign::{Campaign, CampaignStatus},
    cap::{Cap, in_words},
    consent::ConsentKind,
    enrollment::{Enrollment, EnrollmentState},
    holiday::{Calendar, DaysOff, Holidays},
    person::{PastAttemptKind, Person},
    phone::PhoneNumber,
    place::{Place, RegionCode, ZoneSource},
    profile::{Profile, ProfileId, RegionRules},
    step::Step,
    suppression::{Channel, Suppression},
    window::{Opening, Window, later, opening, opening_for},
    zone::Zone,
};

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Dial.
    Allowed,
    /// Not now.
    Hold {
        /// The first instant at which this may be over; none when time alone does not change it.
        until: Option<Timestamp>,
    },
    /// Never in this campaign.
    Never,
}

/// The rules by name, in the order in which they are asked. The first that does not allow decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The enrollment must be waiting, with nothing open.
    NothingOpen,
    /// The campaign must be active.
    CampaignActive,
    /// The number must be one that the numbering plan knows.
    NumberValid,
    /// Nobody may have asked not to call the person.
    Suppression,
    /// The person must have agreed, where that is asked for.
    Consent,
    /// Attempts are left in the budget.
    AttemptBudget,
    /// The due time must have come.
    Due,
    /// The phone must be let ring for long enough.
    LeastRing,
    /// It must be calling hours in every zone that may be the person's, until the phone stops
    /// ringing.
    CallingWindow,
    /// It must be no holiday there.
    Holiday,
    /// No other call to the person may be open.
    OneCallAtATime,
    /// The person must not have been called too often.
    FrequencyCap,
    /// The last attempt must be long enough ago.
    MinimumGap,
    /// A person who answered and heard nobody is left alone for a while.
    AbandonedRest,
    /// No emergency stop may be in force.
    EmergencyStop,
    /// The carrier must serve the range of numbers.
    Destination,
    /// One of our own numbers must be free to call from.
    CallerId,
    /// The campaign may have so many calls open.
    CampaignSlots,
    /// The tenant may have so many calls open.
    TenantSlots,
    /// So many calls may begin in a time.
    DialRate,
    /// The agent's account holds so many conversations at once.
    AgentSlots,
    /// An agent must have come for those who answered lately.
    AgentCaution,
    /// The campaign's budget must have room for another call.
    Budget,
    /// The carrier must not have asked for a rest.
    CarrierRest,
}

/// What a campaign asks for, beside its profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignRules {
    /// The ready-made rules that hold in any case.
    pub profile: ProfileId,
    /// The campaign's own hours, by the clock of the person called; none adds nothing.
    pub window: Option<Window>,
    /// The zone of people whose number and list tell none.
    pub zone: Zone,
    /// The campaign's own caps, counted over all campaigns.
    pub caps: Vec<Cap>,
    /// The campaign's own least time between attempts, over all campaigns.
    pub min_gap: Option<Duration>,
    /// Whether the person must have agreed, even where the profile does not ask.
    pub requires_consent: bool,
    /// Whether nobody is called on public holidays where they are, and on days the tenant added,
    /// even where the profile does not ask.
    pub observes_holidays: bool,
}

impl Default for CampaignRules {
    /// The federal rules of the United States: a campaign whose operator chose nothing has
    /// daytime hours everywhere.
    fn default() -> Self {
        Self {
            profile: ProfileId::US_FEDERAL,
            window: None,
            zone: "America/New_York".parse().expect("it is in the database"),
            caps: Vec::new(),
            min_gap: None,
            requires_consent: false,
            observes_holidays: false,
        }
    }
}

/// The rules of one campaign: its profile and its own, the stricter of both in each point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSet {
    profile: &'static Profile,
    own: CampaignRules,
    added_holidays: Holidays,
    /// One for each row of the profile.
    rows: Vec<Row>,
}

/// The profile's row for some regions, made stricter by what the campaign asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    rules: RegionRules,
    /// The hours on holidays; none when they are days like any other.
    holiday_hours: Option<Window>,
}

impl RuleSet {
    /// The rules of a campaign as they hold at `at`; `added` are the tenant's own holidays.
    pub fn new(own: &CampaignRules, added: &Holidays, at: Timestamp) -> Self {
        Self::with_profile(Profile::find(own.profile, at), own, added)
    }

    /// The rules of a campaign with a given version of its profile: to judge again what was judged
    /// before (F-75).
    pub fn with_profile(profile: &'static Profile, own: &CampaignRules, added: &Holidays) -> Self {
        let rows = profile
            .rows()
            .map(|(_, rules)| Row::new(rules, own))
            .collect();
        Self {
            profile,
            own: own.clone(),
            added_holidays: added.clone(),
            rows,
        }
    }

    /// The profile in the version that holds.
    pub fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// What the campaign asks for itself.
    pub fn own(&self) -> &CampaignRules {
        &self.own
    }

    /// What holds in a region, the campaign's own rules included.
    pub fn in_region(&self, region: &RegionCode) -> &RegionRules {
        &self.row(region).rules
    }

    /// How far back attempts matter in a region.
    pub fn memory(&self, region: &RegionCode) -> Duration {
        let rules = self.in_region(region);
        let caps = rules.caps.iter().map(|cap| cap.within);
        caps.chain(rules.min_gap)
            .chain(rules.abandoned_rest)
            .max()
            .unwrap_or_default()
    }

    fn row(&self, region: &RegionCode) -> &Row {
        &self.rows[self.profile.row_of(region)]
    }

    /// The calendars that are looked at in a region.
    fn calendars(&self, region: &RegionCode) -> Vec<&'static Calendar> {
        let asked = self.in_region(region).holidays.as_ref();
        let of_profile = asked.and_then(|rule| rule.calendar.resolve(region));
        let of_region = self
            .own
            .observes_holidays
            .then(|| Calendar::of(region))
            .flatten();
        let mut calendars: Vec<_> = of_profile.into_iter().chain(of_region).collect();
        calendars.dedup_by_key(|calendar| calendar.id);
        calendars
    }

    /// Calls `look` with the hours and the days off of a region.
    fn with_hours<T>(
        &self,
        region: &RegionCode,
        look: impl FnOnce(&Window, &DaysOff<'_>) -> T,
    ) -> T {
        let row = self.row(region);
        match &row.holiday_hours {
            None => look(&row.rules.window, &DaysOff::none()),
            Some(hours) => {
                let calendars = self.calendars(region);
                let off = DaysOff::new(&calendars, &self.added_holidays, region, hours);
                look(&row.rules.window, &off)
            }
        }
    }
}

impl Row {
    fn new(profile: &RegionRules, own: &CampaignRules) -> Self {
        let mut rules = profile.clone();
        if let Some(window) = &own.window {
            rules.window = rules.window.intersect(window);
        }
        rules.caps.extend(&own.caps);
        rules.min_gap = rules.min_gap.max(own.min_gap);
        rules.requires_consent |= own.requires_consent;
        let holiday_hours = match (own.observes_holidays, &rules.holidays) {
            (true, _) => Some(Window::never()),
            (false, Some(rule)) => Some(rule.hours.intersect(&rules.window)),
            (false, None) => None,
        };
        Self {
            rules,
            holiday_hours,
        }
    }
}

/// What is judged. `person` is without the attempt that is judged itself.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The campaign as it is stored.
    pub campaign: &'a Campaign,
    /// The enrollment.
    pub enrollment: &'a Enrollment,
    /// Where the person is.
    pub place: &'a Place,
    /// The campaign's rules.
    pub rules: &'a RuleSet,
    /// What is known of the person over all campaigns.
    pub person: &'a Person,
    /// From the dialing until the phone stops ringing: it must be calling hours all the while.
    pub expected_ring: Duration,
}

/// What one rule says, and what it looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What it says.
    pub verdict: Verdict,
    /// What was compared, by name, for people: local time, window, count, cap. Empty unless it was
    /// asked for by [`explain`].
    pub values: BTreeMap<&'static str, String>,
    /// The first instant from the judged one on at which this rule alone allows it.
    pub next: Option<Timestamp>,
}

/// What all rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    findings: Vec<Finding>,
    next_at: Option<Timestamp>,
}

/// With what a decision was made, kept with the attempt (F-75).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRecord {
    /// The profile's name.
    pub profile: String,
    /// The profile's version.
    pub profile_version: String,
    /// The judged instant.
    pub at: Timestamp,
    /// The wall-clock time in each zone, as `2026-07-01T09:30:00-04:00[America/New_York]`.
    pub local: String,
    /// The region whose rules were applied.
    pub region: String,
    /// What the zones were taken from.
    pub zone_source: ZoneSource,
}

/// Whether an attempt may begin at `at`: every rule's finding, in the order of [`Rule`].
pub fn judge(facts: &Facts<'_>, at: Timestamp) -> Judgement {
    judge_by(Rule::of_person(), facts, at)
}

/// What [`judge`] says, with what each rule looked at: for people, because words take longer than
/// verdicts.
pub fn explain(facts: &Facts<'_>, at: Timestamp) -> Judgement {
    let mut judgement = judge(facts, at);
    for finding in &mut judgement.findings {
        finding.values = finding.rule.values(facts, at);
    }
    judgement
}

/// Whether a reserved attempt may still be dialed at `at`. The enrollment has its open attempt, the
/// budget has counted it, and its number is the one that was judged then, so those rules are not asked.
pub fn judge_dial(facts: &Facts<'_>, at: Timestamp) -> Judgement {
    use Rule::{AttemptBudget, Due, NothingOpen, NumberValid};
    let is_settled = |it: &Rule| matches!(it, NothingOpen | NumberValid | AttemptBudget | Due);
    judge_by(Rule::of_person().filter(|it| !is_settled(it)), facts, at)
}

fn judge_by(asked: impl Iterator<Item = Rule>, facts: &Facts<'_>, at: Timestamp) -> Judgement {
    let findings: Vec<_> = asked.map(|rule| rule.find(facts, at)).collect();
    let is_allowed = findings.iter().all(|it| it.verdict == Verdict::Allowed);
    let next_at = if is_allowed {
        Some(at)
    } else {
        next_allowed(&findings, facts, at)
    };
    Judgement { findings, next_at }
}

/// The first instant at which every rule allows it.
///
/// Each rule alone names its first instant; the latest of them is asked again, because there
/// another rule may hold: a cap ends at 22:00 and the window opens at 8:00. The instant only grows,
/// by whole spans of a rule, so few rounds are enough; if they are not, there is no such instant.
fn next_allowed(findings: &[Finding], facts: &Facts<'_>, at: Timestamp) -> Option<Timestamp> {
    const ROUNDS: usize = 1_000;
    let first = findings.iter().map(|finding| finding.next);
    let mut t = first.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    let timed: Vec<_> = findings
        .iter()
        .map(|it| it.rule)
        .filter(|it| it.is_timed())
        .collect();
    for _ in 0..ROUNDS {
        let next = timed.iter().map(|rule| rule.find_next(facts, t));
        let next = next
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
            .unwrap_or(t);
        if next <= t {
            return Some(t.max(at));
        }
        t = next;
    }
    None
}

/// Whether a place may be called, ringing included: what depends on the place alone.
pub fn opening_of(
    rules: &RuleSet,
    place: &Place,
    expected_ring: Duration,
    at: Timestamp,
) -> Opening {
    rules.with_hours(place.region(), |window, off| {
        opening_for(expected_ring, window, place.zones(), off, at)
    })
}

impl Judgement {
    /// What they say together.
    pub fn verdict(&self) -> Verdict {
        match self.decider() {
            None => Verdict::Allowed,
            Some(Finding {
                verdict: Verdict::Never,
                ..
            }) => Verdict::Never,
            Some(_) => Verdict::Hold {
                until: self.next_at,
            },
        }
    }

    /// The rule that does not allow it: one that never will before one that waits.
    pub fn decided_by(&self) -> Option<Rule> {
        self.decider().map(|finding| finding.rule)
    }

    /// The finding of the rule that does not allow it.
    pub fn decider(&self) -> Option<&Finding> {
        let never = || self.findings.iter().find(|it| it.verdict == Verdict::Never);
        let first = self
            .findings
            .iter()
            .find(|it| it.verdict != Verdict::Allowed);
        // An open attempt comes before everything: its enrollment is not to be touched.
        match first {
            Some(Finding {
                rule: Rule::NothingOpen | Rule::CampaignActive,
                ..
            }) => first,
            _ => never().or(first),
        }
    }

    /// The first instant from the judged one on at which every rule allows it; none when time
    /// alone does not bring it.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.next_at
    }

    /// What each rule says, in the order of [`Rule`].
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl DecisionRecord {
    /// With what `facts` are judged at `at`.
    pub fn new(facts: &Facts<'_>, at: Timestamp) -> Self {
        let profile = facts.rules.profile;
        let phone = facts.enrollment.phone.known();
        Self {
            profile: profile.id.to_string(),
            profile_version: profile.version.to_owned(),
            at,
            local: local_times(facts.place, at),
            region: facts.place.region().to_string(),
            zone_source: phone.map_or(ZoneSource::Fallback, |phone| facts.place.source(phone)),
        }
    }
}

/// The wall-clock time in each zone of a place.
fn local_times(place: &Place, at: Timestamp) -> String {
    let local = |zone: &Zone| {
        let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
        whole.to_zoned(zone.tz().clone()).to_string()
    };
    place
        .zones()
        .iter()
        .map(local)
        .collect::<Vec<_>>()
        .join(" ")
}

impl Finding {
    /// What a limit says that the engine counted: held while `is_reached`, until `next` if time alone
    /// ends that.
    pub fn of_limit(
        rule: Rule,
        is_reached: bool,
        next: Option<Timestamp>,
        values: BTreeMap<&'static str, String>,
        at: Timestamp,
    ) -> Self {
        let verdict = if is_reached {
            Verdict::Hold { until: next }
        } else {
            Verdict::Allowed
        };
        Self {
            rule,
            verdict,
            values,
            next: if is_reached { next } else { Some(at) },
        }
    }

    fn allowed(rule: Rule, at: Timestamp) -> Self {
        Self {
            rule,
            verdict: Verdict::Allowed,
            values: BTreeMap::new(),
            next: Some(at),
        }
    }

    fn never(rule: Rule) -> Self {
        Self {
            verdict: Verdict::Never,
            next: None,
            ..Self::allowed(rule, Timestamp::UNIX_EPOCH)
        }
    }

    /// Allowed if the first instant is the judged one, else held until then.
    fn from_next(rule: Rule, next: Option<Timestamp>, at: Timestamp) -> Self {
        let verdict = match next {
            Some(next) if next <= at => Verdict::Allowed,
            until => Verdict::Hold { until },
        };
        Self {
            verdict,
            next,
            ..Self::allowed(rule, at)
        }
    }
}

impl Rule {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; 24] = [
        Self::NothingOpen,
        Self::CampaignActive,
        Self::NumberValid,
        Self::Suppression,
        Self::Consent,
        Self::AttemptBudget,
        Self::Due,
        Self::LeastRing,
        Self::CallingWindow,
        Self::Holiday,
        Self::OneCallAtATime,
        Self::FrequencyCap,
        Self::MinimumGap,
        Self::AbandonedRest,
        Self::EmergencyStop,
        Self::Destination,
        Self::CallerId,
        Self::CampaignSlots,
        Self::TenantSlots,
        Self::DialRate,
        Self::AgentSlots,
        Self::AgentCaution,
        Self::Budget,
        Self::CarrierRest,
    ];

    /// Those that put a person off by what a campaign or its tenant has set. Whom they put off is judged
    /// again when that changes.
    pub const OF_SETTINGS: [Self; 7] = [
        Self::LeastRing,
        Self::CallingWindow,
        Self::Holiday,
        Self::OneCallAtATime,
        Self::FrequencyCap,
        Self::MinimumGap,
        Self::AbandonedRest,
    ];

    /// Those that are about one person; the others are limits, which the engine counts.
    pub fn of_person() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .take_while(|rule| *rule < Self::EmergencyStop)
    }

    /// The rule's name in the API, in events and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::NothingOpen => "nothingOpen",
            Self::CampaignActive => "campaignActive",
            Self::NumberValid => "numberValid",
            Self::Suppression => "suppression",
            Self::Consent => "consent",
            Self::AttemptBudget => "attemptBudget",
            Self::Due => "due",
            Self::LeastRing => "leastRing",
            Self::CallingWindow => "callingWindow",
            Self::Holiday => "holiday",
            Self::OneCallAtATime => "oneCallAtATime",
            Self::FrequencyCap => "frequencyCap",
            Self::MinimumGap => "minimumGap",
            Self::AbandonedRest => "abandonedRest",
            Self::EmergencyStop => "emergencyStop",
            Self::Destination => "destination",
            Self::CallerId => "callerId",
            Self::CampaignSlots => "campaignSlots",
            Self::TenantSlots => "tenantSlots",
            Self::DialRate => "dialRate",
            Self::AgentSlots => "agentSlots",
            Self::AgentCaution => "agentCaution",
            Self::Budget => "budget",
            Self::CarrierRest => "carrierRest",
        }
    }

    /// The rule of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// Why the contact is not called, for an operator.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NothingOpen => "A call to this contact is already under way, or all is done.",
            Self::CampaignActive => "The campaign is not running.",
            Self::NumberValid => "No such telephone number exists.",
            Self::Suppression => "The person is on the do-not-call list.",
            Self::Consent => "The rules ask for the person's consent, and none is recorded.",
            Self::AttemptBudget => "All attempts for this contact are used up.",
            Self::Due => "The next attempt is planned for later.",
            Self::LeastRing => {
                "The campaign lets phones ring for less time than the rules ask for."
            }
            Self::CallingWindow => "It is outside calling hours where the person is.",
            Self::Holiday => "It is a holiday where the person is.",
            Self::OneCallAtATime => "Another campaign is calling the person right now.",
            Self::FrequencyCap => "The person has been called as often as the rules allow.",
            Self::MinimumGap => "The last call to the person is too short a time ago.",
            Self::AbandonedRest => {
                "The person answered a call and heard nobody; machines must leave them alone for a \
                 while."
            }
            Self::EmergencyStop => "An emergency stop is in force.",
            Self::Destination => {
                "The carrier does not serve this range of numbers: it refused others like it."
            }
            Self::CallerId => "None of the numbers to call from is free.",
            Self::CampaignSlots => "As many calls of the campaign are open as it allows.",
            Self::TenantSlots => "As many calls are open as the account allows.",
            Self::DialRate => "The next dial start is a moment away: the set rate is kept.",
            Self::AgentSlots => "As many calls are open as the agent's account can talk in.",
            Self::AgentCaution => "Answered calls got no agent lately, so few are made.",
            Self::Budget => "The campaign's budget has no room for another call.",
            Self::CarrierRest => "The carrier asked for fewer requests.",
        }
    }

    /// What would change it, for an operator.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NothingOpen => "Wait for the call to end.",
            Self::CampaignActive => "Start or resume the campaign.",
            Self::NumberValid => "Correct the number and add the contact again.",
            Self::Suppression => "Nothing: somebody asked for it.",
            Self::Consent => "Record the person's consent, or choose rules that do not ask for it.",
            Self::AttemptBudget => "Raise the number of attempts.",
            Self::Due => "Wait for the planned time, or shorten the delay between attempts.",
            Self::LeastRing => "Let phones ring for longer.",
            Self::CallingWindow => {
                "Wait for the hours to begin, or widen the campaign's own hours."
            }
            Self::Holiday => "Wait for the day to end.",
            Self::OneCallAtATime => "Wait for the other call to end.",
            Self::FrequencyCap => "Wait until the earlier calls are long enough ago.",
            Self::MinimumGap => "Wait until the last call is long enough ago.",
            Self::AbandonedRest => "Wait until the person may be called by a machine again.",
            Self::EmergencyStop => "Lift the emergency stop.",
            Self::Destination => {
                "Enable the destination in the carrier's account; it is tried again by itself."
            }
            Self::CallerId => "Add numbers to call from, or raise their limits.",
            Self::CampaignSlots => "Raise the campaign's number of concurrent calls.",
            Self::TenantSlots => "Raise the account's number of concurrent calls.",
            Self::DialRate => "Raise the calls per second.",
            Self::AgentSlots => {
                "Raise DIALTONE_AGENT_MAX_CONVERSATIONS, if the agent's account allows more."
            }
            Self::AgentCaution => "See why answered calls get no agent.",
            Self::Budget => "Raise the budget.",
            Self::CarrierRest => "Wait; it goes on by itself.",
        }
    }

    /// Whether time alone can turn the rule's answer.
    fn is_timed(self) -> bool {
        match self {
            Self::Due
            | Self::CallingWindow
            | Self::Holiday
            | Self::FrequencyCap
            | Self::MinimumGap
            | Self::AbandonedRest => true,
            Self::NothingOpen
            | Self::CampaignActive
            | Self::NumberValid
            | Self::Suppression
            | Self::Consent
            | Self::AttemptBudget
            | Self::LeastRing
            | Self::OneCallAtATime
            | Self::EmergencyStop
            | Self::Destination
            | Self::CallerId
            | Self::CampaignSlots
            | Self::TenantSlots
            | Self::DialRate
            | Self::AgentSlots
            | Self::AgentCaution
            | Self::Budget
            | Self::CarrierRest => false,
        }
    }

    /// The first instant from `at` on at which a timed rule allows an attempt.
    fn find_next(self, facts: &Facts<'_>, at: Timestamp) -> Option<Timestamp> {
        match self {
            // One look answers for both.
            Self::CallingWindow | Self::Holiday => {
                opening_of(facts.rules, facts.place, facts.expected_ring, at).first(at)
            }
            Self::FrequencyCap => {
                let caps = &region_rules(facts).caps;
                let each = caps.iter().map(|cap| cap.next_allowed(attempts(facts), at));
                each.collect::<Option<Vec<_>>>()?
                    .into_iter()
                    .max()
                    .or(Some(at))
            }
            Self::MinimumGap => match region_rules(facts).min_gap {
                Some(gap) => Cap::gap(gap).next_allowed(attempts(facts), at),
                None => Some(at),
            },
            Self::AbandonedRest => {
                let rest = region_rules(facts).abandoned_rest.unwrap_or_default();
                let abandoned = facts.person.attempts.iter().filter(|it| it.abandoned);
                abandoned.map(|it| later(it.at, rest)).chain([at]).max()
            }
            Self::Due => match facts.enrollment.state {
                EnrollmentState::Waiting { due_at, .. } => Some(due_at.max(at)),
                EnrollmentState::Open { .. } | EnrollmentState::Finished { .. } => Some(at),
            },
            Self::NothingOpen
            | Self::CampaignActive
            | Self::NumberValid
            | Self::Suppression
            | Self::Consent
            | Self::AttemptBudget
            | Self::LeastRing
            | Self::OneCallAtATime
            | Self::EmergencyStop
            | Self::Destination
            | Self::CallerId
            | Self::CampaignSlots
            | Self::TenantSlots
            | Self::DialRate
            | Self::AgentSlots
            | Self::AgentCaution
            | Self::Budget
            | Self::CarrierRest => Some(at),
        }
    }

    /// What the rule says at `at`.
    fn find(self, facts: &Facts<'_>, at: Timestamp) -> Finding {
        let only_if = |holds: bool| Finding::from_next(self, holds.then_some(at), at);
        let or_never = |holds: bool| match holds {
            true => Finding::allowed(self, at),
            false => Finding::never(self),
        };
        match self {
            Self::NothingOpen => only_if(matches!(
                facts.enrollment.state,
                EnrollmentState::Waiting { .. }
            )),
            Self::CampaignActive => only_if(facts.campaign.status == CampaignStatus::Active),
            Self::NumberValid => {
                let phone = facts.enrollment.phone.known();
                or_never(phone.is_some_and(PhoneNumber::is_assignable))
            }
            Self::Suppression => or_never(suppression(facts.person).is_none()),
            Self::Consent => or_never(has_consent(facts)),
            Self::AttemptBudget => {
                or_never(facts.enrollment.n_counted < facts.campaign.retry.max_attempts)
            }
            Self::LeastRing => {
                let least = region_rules(facts).least_ring;
                only_if(ring_timeout(facts).is_none_or(|ring| ring >= least))
            }
            Self::CallingWindow => calling_window(facts, at),
            Self::Holiday => holiday(facts, at),
            Self::OneCallAtATime => only_if(n_open(facts.person) == 0),
            Self::Due | Self::FrequencyCap | Self::MinimumGap | Self::AbandonedRest => {
                Finding::from_next(self, self.find_next(facts, at), at)
            }
            // Limits are counted by the engine.
            Self::EmergencyStop
            | Self::Destination
            | Self::CallerId
            | Self::CampaignSlots
            | Self::TenantSlots
            | Self::DialRate
            | Self::AgentSlots
            | Self::AgentCaution
            | Self::Budget
            | Self::CarrierRest => Finding::allowed(self, at),
        }
    }

    /// What the rule looks at to say that, by name.
    fn values(self, facts: &Facts<'_>, at: Timestamp) -> BTreeMap<&'static str, String> {
        let rules = region_rules(facts);
        match self {
            Self::NothingOpen => [("state", facts.enrollment.state.name().to_owned())].into(),
            Self::CampaignActive => [("status", facts.campaign.status.name().to_owned())].into(),
            Self::Suppression => suppression(facts.person)
                .map(|entry| {
                    [
                        ("scope", entry.scope.name().to_owned()),
                        ("source", entry.source.name().to_owned()),
                        ("since", entry.at.to_string()),
                    ]
                })
                .into_iter()
                .flatten()
                .collect(),
            Self::Consent => {
                let given = facts.person.consent.as_ref();
                [(
                    "consent",
                    given.map_or("none", |it| it.kind.name()).to_owned(),
                )]
                .into()
            }
            Self::AttemptBudget => [
                ("used", facts.enrollment.n_counted.to_string()),
                ("most", facts.campaign.retry.max_attempts.to_string()),
            ]
            .into(),
            Self::Due => {
                let due = self.find_next(facts, at);
                due.map(|due| ("due", due.to_string()))
                    .into_iter()
                    .collect()
            }
            Self::LeastRing => [
                (
                    "ring",
                    in_words(ring_timeout(facts).unwrap_or(rules.least_ring)),
                ),
                ("least", in_words(rules.least_ring)),
            ]
            .into(),
            Self::CallingWindow => {
                let zones = facts.place.zones().iter().map(ToString::to_string);
                [
                    ("window", rules.window.to_string()),
                    ("local", local_times(facts.place, at)),
                    ("zones", zones.collect::<Vec<_>>().join(" ")),
                ]
                .into()
            }
            Self::Holiday => facts.rules.with_hours(facts.place.region(), |_, off| {
                day_off(facts, off, at)
                    .map(|name| [("holiday", name), ("hours", off.hours().to_string())])
                    .into_iter()
                    .flatten()
                    .collect()
            }),
            Self::OneCallAtATime => [("open", n_open(facts.person).to_string())].into(),
            Self::FrequencyCap => {
                let counts = rules.caps.iter().map(|cap| cap.count(attempts(facts), at));
                let counts: Vec<_> = counts.map(|count| count.to_string()).collect();
                let caps: Vec<_> = rules.caps.iter().map(ToString::to_string).collect();
                [("count", counts.join(", ")), ("cap", caps.join(", "))].into()
            }
            Self::MinimumGap => [("gap", in_words(rules.min_gap.unwrap_or_default()))].into(),
            Self::AbandonedRest => {
                [("rest", in_words(rules.abandoned_rest.unwrap_or_default()))].into()
            }
            Self::NumberValid
            | Self::EmergencyStop
            | Self::Destination
            | Self::CallerId
            | Self::CampaignSlots
            | Self::TenantSlots
            | Self::DialRate
            | Self::AgentSlots
            | Self::AgentCaution
            | Self::Budget
            | Self::CarrierRest => BTreeMap::new(),
        }
    }
}

fn region_rules<'a>(facts: &Facts<'a>) -> &'a RegionRules {
    facts.rules.in_region(facts.place.region())
}

/// How long the step that is next lets the phone ring.
fn ring_timeout(facts: &Facts<'_>) -> Option<Duration> {
    let cursor = usize::from(facts.enrollment.cursor);
    facts.campaign.steps.get(cursor).map(|step| match step {
        Step::VoiceCall(call) => call.ring_timeout,
    })
}

fn attempts(facts: &Facts<'_>) -> impl Iterator<Item = Timestamp> {
    facts.person.attempts.iter().map(|it| it.at)
}

/// What says that the person must not be called.
fn suppression(person: &Person) -> Option<&Suppression> {
    let mut entries = person.suppressions.iter();
    entries.find(|it| it.applies(Channel::Voice))
}

fn n_open(person: &Person) -> usize {
    let open = person.attempts.iter().filter(|it| match it.kind {
        PastAttemptKind::Open | PastAttemptKind::Unknown => true,
        PastAttemptKind::Ended => false,
    });
    open.count()
}

fn has_consent(facts: &Facts<'_>) -> bool {
    match &facts.person.consent {
        None => !region_rules(facts).requires_consent,
        // Who took it back is not called, whether or not it had to be given.
        Some(consent) => {
            consent.kind.is_given()
                || consent.kind != ConsentKind::Withdrawn && !region_rules(facts).requires_consent
        }
    }
}

/// The hours without regard to holidays, for which there is a rule of its own.
fn calling_window(facts: &Facts<'_>, at: Timestamp) -> Finding {
    let window = &region_rules(facts).window;
    let (zones, off) = (facts.place.zones(), DaysOff::none());
    let next = opening_for(facts.expected_ring, window, zones, &off, at).first(at);
    Finding::from_next(Rule::CallingWindow, next, at)
}

/// The name of the day off that the call would fall on, from the dialing until the phone stops ringing.
fn day_off(facts: &Facts<'_>, off: &DaysOff<'_>, at: Timestamp) -> Option<String> {
    let end = later(at, facts.expected_ring);
    let date = |zone: &Zone, at| zone.tz().to_datetime(at).date();
    let mut dates = facts
        .place
        .zones()
        .iter()
        .flat_map(|zone| [date(zone, at), date(zone, end)]);
    dates.find_map(|date| off.name_of(date).map(str::to_owned))
}

fn holiday(facts: &Facts<'_>, at: Timestamp) -> Finding {
    let (zones, region) = (facts.place.zones(), facts.place.region());
    facts.rules.with_hours(region, |window, off| {
        if off.is_empty() || day_off(facts, off, at).is_none() {
            return Finding::allowed(Rule::Holiday, at);
        }
        // On a holiday with hours of its own, being outside the usual ones is not its doing.
        let usual = opening(window, zones, &DaysOff::none(), at);
        let next = opening_for(facts.expected_ring, window, zones, off, at).first(at);
        let next = if off.hours().is_never() || usual.is_open() {
            next
        } else {
            Some(at)
        };
        Finding::from_next(Rule::Holiday, next, at)
    })
}

#[cfg(test)]
mod tests;
