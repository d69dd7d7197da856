//! What a seed decides before anything happens: who is called, how, and what may go wrong.

use std::{collections::BTreeMap, time::Duration};

use jiff::civil::{Date, date};
use uuid::Uuid;

use super::{dice::Dice, people::Person};
use crate::{
    domain::{
        Timestamp,
        budget::Budget,
        caller_id::{CallerIdPool, Choice},
        campaign::Policy,
        cap::Cap,
        consent::ConsentKind,
        ids::TenantId,
        outcome::RetryKind,
        pacing::{CallRate, PacingLimits, Ramp},
        phone::PhoneNumber,
        profile::ProfileId,
        retry::{RetryPolicy, RetryRule},
        rules::CampaignRules,
        schedule::Schedule,
        window::Window,
    },
    engine::{EngineSettings, TenantLimits},
};

/// When every world begins: 06:57:20 UTC, which is shortly before midnight in one of its zones.
pub const BEGINNING: Timestamp = Timestamp::constant(1_759_993_040, 0);

/// The day that ends in that zone soon after the beginning, and is over everywhere else.
const EVE: Date = date(2025, 10, 8);

/// How long a request waits for the carrier's answer before it gives up.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(15);

/// One world before it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What decided all of this.
    pub seed: u64,
    /// How many processes share the store.
    pub n_nodes: usize,
    /// Who lives at which number.
    pub people: BTreeMap<PhoneNumber, Person>,
    /// What they said of being called; those who were never asked are not in it.
    pub consents: BTreeMap<PhoneNumber, ConsentKind>,
    /// The day that every tenant has added to the holidays.
    pub day_off: Option<Date>,
    /// What is dialed.
    pub campaigns: Vec<CampaignPlan>,
    /// How the engines work.
    pub settings: EngineSettings,
    /// What goes wrong until everything heals.
    pub faults: Faults,
    /// When everything heals.
    pub heals_after: Duration,
}

/// One campaign before it begins.
#[derive(Debug, Clone)]
pub struct CampaignPlan {
    /// Whose.
    pub tenant: TenantId,
    /// Whom it calls.
    pub numbers: Vec<PhoneNumber>,
    /// How fast.
    pub pacing: PacingLimits,
    /// How often again.
    pub retry: RetryPolicy,
    /// When it may call; none for always.
    pub hours: Option<Hours>,
    /// What else must hold for its calls.
    pub caps: Vec<Cap>,
    /// Whether whoever it calls must have agreed.
    pub asks_consent: bool,
    /// Whether it calls nobody on holidays.
    pub observes_holidays: bool,
    /// The numbers that it calls from; none for the tenant's.
    pub pool: Option<CallerIdPool>,
    /// When it starts and ends by itself.
    pub schedule: Schedule,
    /// What it may use.
    pub budget: Budget,
    /// How many calls everybody who answers gets.
    pub n_steps: usize,
    /// When it is started.
    pub starts_after: Duration,
}

/// Hours that open and close every few minutes, by the clock of the person called.
///
/// An hour's difference between zones shifts them, so that no two zones are open at the same times.
#[derive(Debug, Clone, Copy)]
pub struct Hours {
    /// After how many minutes they begin anew, counted from midnight; an hour is no multiple of it.
    every: u16,
    /// For how many minutes they are open then.
    open: u16,
}

impl Hours {
    /// Whether they are open where it is `minute` minutes after midnight.
    pub fn is_open(self, minute: u16) -> bool {
        minute % self.every < self.open
    }

    /// As an operator writes them down: for the night in which worlds begin.
    fn window(self) -> Window {
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let slot = |from: u16| format!(" {}-{}", time(from), time(from + self.open));
        let slots = (0..9 * 60).step_by(self.every.into()).map(slot);
        let before = (23 * 60..24 * 60)
            .filter(|minute| minute % self.every == 0 && minute + self.open < 24 * 60)
            .map(slot);
        let text = format!(
            "wed{},thu{}",
            before.collect::<String>(),
            slots.collect::<String>()
        );
        text.parse().expect("the slots are apart")
    }
}

impl CampaignPlan {
    /// What an operator gives the campaign.
    pub fn policy(&self) -> Policy {
        Policy {
            rules: CampaignRules {
                profile: ProfileId::NONE,
                window: self.hours.map(Hours::window),
                caps: self.caps.clone(),
                requires_consent: self.asks_consent,
                observes_holidays: self.observes_holidays,
                ..CampaignRules::default()
            },
            budget: self.budget,
            caller_ids: self.pool.clone(),
            schedule: self.schedule,
            ..Policy::default()
        }
    }
}

/// Area codes and the zones in which they lie.
const AREAS: [(&str, &str); 4] = [
    ("202", "America/New_York"),
    ("312", "America/Chicago"),
    ("303", "America/Denver"),
    ("213", "America/Los_Angeles"),
];

/// The number of the `i`th person of a world.
fn number(i: u64) -> PhoneNumber {
    let area = usize::try_from(i).map_or(0, |i| i % AREAS.len());
    format!("+1{}{:07}", AREAS[area].0, 2_000_000 + i)
        .parse()
        .expect("a plus and eleven digits are a number")
}

/// The zone in which somebody with this number lives.
pub fn zone_of(number: &PhoneNumber) -> Option<&'static str> {
    AREAS
        .iter()
        .find(|(area, _)| number.as_str()[2..].starts_with(area))
        .map(|(_, zone)| *zone)
}

/// How likely each thing is to go wrong. A probability counts once for each time that it could.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A process dies at an operation of the store or the carrier.
    pub crash: f64,
    /// A process stands still at such an operation, for longer than a lease or shorter.
    pub freeze: f64,
    /// An operation of the store fails and changes nothing.
    pub store_fails: f64,
    /// A write is made and its answer is lost.
    pub store_answer_lost: f64,
    /// An operation of the store takes long.
    pub store_slow: f64,
    /// A callback never comes.
    pub callback_lost: f64,
    /// A callback comes up to a minute late.
    pub callback_late: f64,
    /// A callback comes twice.
    pub callback_twice: f64,
    /// A call is placed and the answer is lost.
    pub answer_lost: f64,
    /// A request is lost on its way.
    pub request_lost: f64,
    /// A request is held up on its way for longer than anybody waits for its answer.
    pub request_late: f64,
    /// The carrier refuses for a reason that is not the callee's.
    pub refused: f64,
    /// The carrier asks for fewer requests.
    pub throttled: f64,
    /// No connection to the carrier.
    pub unreachable: f64,
    /// A question to the carrier, or a request to end a call, fails.
    pub question_fails: f64,
    /// No agent can be had.
    pub agent_fails: f64,
    /// Commands of an operator in a minute.
    pub commands: f64,
}

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// The least and the most people that a campaign calls.
    pub people: (u64, u64),
    /// The most campaigns.
    pub campaigns: u64,
}

impl Default for Size {
    /// Up to three campaigns of up to forty people.
    fn default() -> Self {
        Self {
            people: (1, 40),
            campaigns: 3,
        }
    }
}

impl Plan {
    /// What `seed` decides for a world of that size.
    pub fn of(seed: u64, size: Size) -> Self {
        let dice = &mut Dice::seeded(seed);
        let n_campaigns = dice.number(1, size.campaigns);
        let n_tenants = if n_campaigns > 1 && dice.happens(0.3) {
            2
        } else {
            1
        };
        let shares_people = dice.happens(0.5);
        let mut people = BTreeMap::new();
        let campaigns = (0..n_campaigns)
            .map(|n| campaign(dice, n, n_tenants, size, shares_people, &mut people))
            .collect();
        let consents = consents(dice, &people);
        let day_off = dice.happens(0.3).then_some(EVE);
        let mut faults = faults(dice);
        if shares_people {
            // Only the enrollment waits out the gap after a call that was given up: a request that
            // comes later than that may meet a call of another campaign.
            faults.request_late = 0.0;
        }
        Self {
            seed,
            n_nodes: usize::try_from(dice.pick(&[1, 1, 2, 2, 2, 3])).unwrap_or(1),
            people,
            consents,
            day_off,
            campaigns,
            settings: settings(dice),
            faults,
            heals_after: dice.millis(10_000, 60_000),
        }
    }
}

fn campaign(
    dice: &mut Dice,
    n: u64,
    n_tenants: u64,
    size: Size,
    shares_people: bool,
    people: &mut BTreeMap<PhoneNumber, Person>,
) -> CampaignPlan {
    let n_people = dice.number(size.people.0, size.people.1);
    // Tenants share nobody: the carrier's list does not say whose a call is, so where two tenants call
    // one person from one number, a call of one can be taken for the other's.
    let tenant = n % n_tenants;
    let first = if shares_people {
        tenant * 100_000 + dice.number(0, n_people)
    } else {
        n * 1_000_000
    };
    let numbers: Vec<PhoneNumber> = (first..first + n_people).map(number).collect();
    for number in &numbers {
        let person = Person::anybody(dice);
        people.entry(number.clone()).or_insert(person);
    }
    // Long lists are called faster, so that no world takes long.
    let usual = u32::try_from(n_people / 6).unwrap_or(u32::MAX).max(2);
    CampaignPlan {
        tenant: TenantId::new(Uuid::from_u128(u128::from(1 + tenant))),
        numbers,
        pacing: PacingLimits {
            max_concurrent_calls: dice.pick(&[1.max(usual / 4), usual, usual, usual * 4]),
            call_delay: Duration::from_millis(dice.pick(&[0, 0, 0, 100, 350])),
            calls_per_second: rate(f64::max(
                dice.pick(&[0.5, 2.0, 5.0, 20.0, 50.0]),
                n_people as f64 / 30.0,
            )),
            ramp: dice.happens(0.15).then(|| ramp(dice)),
        },
        retry: retry(dice),
        hours: dice.happens(0.3).then(|| hours(dice)),
        caps: if dice.happens(0.3) {
            vec![cap(dice)]
        } else {
            Vec::new()
        },
        budget: Budget {
            most_minutes: dice.happens(0.15).then(|| dice.number(1, n_people)),
            ..Budget::default()
        },
        asks_consent: dice.happens(0.15),
        observes_holidays: dice.happens(0.4),
        pool: dice.happens(0.2).then(|| pool(dice, n_people)),
        schedule: schedule(dice),
        n_steps: dice.pick(&[1, 1, 1, 2]),
        starts_after: dice.millis(0, 5_000),
    }
}

/// The rate of that many calls a second.
pub fn rate(per_second: f64) -> CallRate {
    CallRate::try_from(per_second.clamp(0.1, 200.0)).expect("the rate was brought into range")
}

fn retry(dice: &mut Dice) -> RetryPolicy {
    let rules = RetryKind::ALL.into_iter().map(|kind| {
        let rule = RetryRule {
            count: dice.pick(&[0, 1, 1, 2]),
            delay: dice.millis(1_000, 30_000).into(),
        };
        (kind, rule)
    });
    let rules = rules.collect();
    RetryPolicy {
        max_attempts: dice.pick(&[1, 2, 3, 4]),
        rules,
        jitter: RetryPolicy::JITTER,
        other_hours: None,
    }
}

fn ramp(dice: &mut Dice) -> Ramp {
    Ramp {
        from: rate(dice.pick(&[0.2, 1.0])),
        over: dice.millis(5_000, 60_000),
    }
}

/// Numbers that rest between calls for so long that everybody can be called in a minute or two.
fn pool(dice: &mut Dice, n_people: u64) -> CallerIdPool {
    let n_numbers = dice.number(1, 4);
    let longest = (60_000 * n_numbers / n_people).clamp(300, 10_000);
    let numbers = (0..n_numbers).map(|n| format!("+1202555011{n}"));
    CallerIdPool {
        numbers: numbers
            .map(|number| number.parse().expect("it is a number"))
            .collect(),
        choice: dice.pick(&Choice::ALL),
        per_day: dice
            .happens(0.3)
            .then(|| u32::try_from(dice.number(1, 1 + n_people)).unwrap_or(u32::MAX)),
        cooling: dice.happens(0.5).then(|| dice.millis(200, longest)),
    }
}

/// A start that lies ahead when an operator releases the campaign, or just behind, and an end before
/// everybody can have been called.
fn schedule(dice: &mut Dice) -> Schedule {
    let start_at = dice
        .happens(0.15)
        .then(|| BEGINNING + dice.millis(1_000, 20_000));
    let end_at = dice
        .happens(0.1)
        .then(|| BEGINNING + dice.millis(21_000, 120_000));
    Schedule {
        start_at,
        end_at,
        lateness: Duration::from_secs(dice.pick(&[5, 3_600])),
    }
}

/// What people said of being called, if anything.
fn consents(
    dice: &mut Dice,
    people: &BTreeMap<PhoneNumber, Person>,
) -> BTreeMap<PhoneNumber, ConsentKind> {
    let mut consents = BTreeMap::new();
    for number in people.keys() {
        let kind = match dice.number(0, 99) {
            0..=39 => ConsentKind::Written,
            40..=69 => ConsentKind::Express,
            70..=77 => ConsentKind::Implied,
            78..=79 => ConsentKind::Withdrawn,
            _ => continue,
        };
        consents.insert(number.clone(), kind);
    }
    consents
}

fn hours(dice: &mut Dice) -> Hours {
    let (every, least) = dice.pick(&[(7, 3), (13, 4)]);
    Hours {
        every,
        open: u16::try_from(dice.number(least, u64::from(every) - 2)).unwrap_or(every - 2),
    }
}

fn cap(dice: &mut Dice) -> Cap {
    Cap {
        most: dice.pick(&[1, 1, 2]),
        within: dice.millis(20_000, 240_000),
    }
}

fn settings(dice: &mut Dice) -> EngineSettings {
    let mut settings = EngineSettings {
        tenant_limits: TenantLimits {
            max_concurrent_calls: dice.pick(&[5, 20, 100, 100]),
            calls_per_second: rate(dice.pick(&[5.0, 20.0, 50.0, 100.0])),
            max_conversations: dice.pick(&[None, None, None, Some(3)]),
        },
        caller_ids: vec!["+12025550100".parse().expect("it is a number")],
        lease: Duration::from_millis(dice.pick(&[1_500, 4_500, 4_500])),
        claim: dice.millis(3_000, 30_000),
        // With a short lease and a long window it is the lease that holds back who wakes up late.
        send_window: Duration::from_millis(dice.pick(&[3_000, 3_000, 4_900])),
        max_requests: dice.pick(&[1, 4, 16, 16]),
        inbox_workers: 2,
        inbox_queue: dice.pick(&[2, 1024]),
        sweep: Duration::from_millis(dice.pick(&[1_000, 3_000])),
        ..EngineSettings::default()
    };
    settings.timing.going_on = dice.millis(10_000, 60_000);
    settings.timing.unplaced_gap = dice.millis(90_000, 150_000);
    settings.timing.refused_gap = dice.millis(2_000, 10_000);
    settings
}

fn faults(dice: &mut Dice) -> Faults {
    if dice.happens(0.05) {
        return Faults::default();
    }
    let mut some = |most: f64| {
        if dice.happens(0.4) {
            dice.fraction() * most
        } else {
            0.0
        }
    };
    Faults {
        crash: some(0.002),
        freeze: some(0.004),
        store_fails: some(0.1),
        store_answer_lost: some(0.1),
        store_slow: some(0.1),
        callback_lost: some(1.0),
        callback_late: some(0.5),
        callback_twice: some(0.5),
        answer_lost: some(0.3),
        request_lost: some(0.2),
        request_late: some(0.1),
        refused: some(0.1),
        throttled: some(0.1),
        unreachable: some(0.2),
        question_fails: some(0.5),
        agent_fails: some(0.3),
        commands: some(40.0),
    }
}
