use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);
const HORIZON: Duration = Duration::from_millis(250);

fn gate(max_open: u32, interval_ms: u64, n_open: u32, last_ms: Option<i64>) -> Gate {
    let last_start = last_ms.map(|ms| {
        NOW.checked_add(jiff::SignedDuration::from_millis(ms))
            .unwrap()
    });
    Gate {
        max_open,
        interval: Duration::from_millis(interval_ms),
        usage: Usage { n_open, last_start },
    }
}

fn offsets(starts: &[Timestamp]) -> Vec<i64> {
    starts
        .iter()
        .map(|at| at.as_millisecond() - NOW.as_millisecond())
        .collect()
}

#[test]
fn the_first_start_is_now_and_the_next_keeps_its_distance() {
    let gate = gate(10, 100, 0, None);
    let starts = allow(&[gate], NOW, HORIZON, 100);
    assert_eq!(offsets(&starts), [0, 100, 200]);
    let after = Gate {
        usage: gate.usage.after(3, starts.last().copied()),
        ..gate
    };
    let next = NOW + Duration::from_millis(300);
    assert_eq!(next_start(&[after], NOW), Some(next));
    assert_eq!(allow(&[after], NOW, HORIZON, 100), []);
}

#[test]
fn what_a_share_cuts_off_may_begin_when_spacing_allows() {
    let gate = gate(10, 100, 0, Some(0));
    assert_eq!(offsets(&allow(&[gate], NOW, HORIZON, 1)), [100]);
    let next = NOW + Duration::from_millis(100);
    assert_eq!(next_start(&[gate], NOW), Some(next));
}

#[test]
fn a_full_house_waits_for_a_call_to_end() {
    let full = [gate(2, 100, 2, None)];
    assert_eq!(allow(&full, NOW, HORIZON, 100), []);
    assert_eq!(next_start(&full, NOW), None);
}

// proves F-11
#[test]
fn a_stalled_loop_does_not_catch_up() {
    let starts = allow(&[gate(10, 100, 0, Some(-30_000))], NOW, HORIZON, 100);
    assert_eq!(offsets(&starts), [0, 100, 200]);
}

// proves F-11
#[test]
fn a_plan_keeps_the_rate_however_often_it_is_made() {
    let limits = PacingLimits {
        max_concurrent_calls: 100_000,
        calls_per_second: CallRate::try_from(150.0).unwrap(),
        ..PacingLimits::default()
    };
    // Rounds are few, or each call's end begins one.
    for round_ms in [125, 40, 7, 5, 1] {
        let mut usage = Usage::default();
        let mut n_starts = 0;
        for round in 0..60_000 / round_ms {
            let now = NOW + Duration::from_millis(round * round_ms);
            let starts = allow(&[Gate::of(&limits, usage)], now, HORIZON, 100);
            n_starts += starts.len();
            usage.last_start = starts.last().copied().or(usage.last_start);
        }
        let planned_for = (usage.last_start.unwrap() - NOW)
            .total(jiff::Unit::Second)
            .unwrap();
        let per_second = (n_starts - 1) as f64 / planned_for;
        assert!(
            (149.99..=150.01).contains(&per_second),
            "{per_second} with a round each {round_ms} ms"
        );
    }
}

#[test]
fn a_start_is_kept_in_whole_milliseconds_and_never_earlier() {
    let after = |nanos| NOW + Duration::from_nanos(nanos);
    assert_eq!(kept_as(NOW), NOW);
    assert_eq!(kept_as(after(1)), after(1_000_000));
    assert_eq!(kept_as(after(6_666_666)), after(7_000_000));
}

#[test]
fn the_strictest_gate_decides() {
    let campaign = gate(10, 100, 0, Some(-50));
    let tenant = gate(3, 20, 1, Some(-5));
    assert_eq!(
        offsets(&allow(&[campaign, tenant], NOW, HORIZON, 100)),
        [50, 150]
    );
}

// proves F-35
#[test]
fn no_start_is_given_out_that_no_agent_could_take() {
    let campaign = gate(10, 100, 4, None);
    let agents = Gate::of_room(6, 4);
    assert_eq!(
        offsets(&allow(&[campaign, agents], NOW, HORIZON, 100)),
        [0, 100]
    );
    let busy = Gate::of_room(6, 6);
    assert_eq!(allow(&[campaign, busy], NOW, HORIZON, 100), []);
    assert_eq!(next_start(&[campaign, busy], NOW), None);
}

fn ramped(from: f64, target: f64, over: Duration) -> PacingLimits {
    PacingLimits {
        calls_per_second: CallRate::try_from(target).unwrap(),
        ramp: Some(Ramp {
            from: CallRate::try_from(from).unwrap(),
            over,
        }),
        ..PacingLimits::default()
    }
}

#[test]
fn the_rate_rises_evenly_to_what_is_set() {
    let limits = ramped(1.0, 11.0, Duration::from_secs(100));
    let rate = |secs| limits.rate_after(Duration::from_secs(secs)).per_second();
    assert_eq!(
        [rate(0), rate(50), rate(100), rate(9_000)],
        [1.0, 6.0, 11.0, 11.0]
    );
    let gate = Gate::ramping(&limits, Usage::default(), Duration::from_secs(50));
    assert_eq!(gate.interval, Duration::from_nanos(166_666_666));
}

#[test]
fn a_ramp_from_above_is_none() {
    let limits = ramped(50.0, 2.0, Duration::from_secs(100));
    assert_eq!(
        limits.rate_after(Duration::ZERO),
        CallRate::try_from(2.0).unwrap()
    );
}

#[test]
fn a_ramp_does_not_undercut_the_least_distance() {
    let limits = PacingLimits {
        call_delay: Duration::from_secs(3),
        ..ramped(1.0, 11.0, Duration::from_secs(100))
    };
    let gate = Gate::ramping(&limits, Usage::default(), Duration::from_secs(99));
    assert_eq!(gate.interval, Duration::from_secs(3));
}

#[test]
fn a_changed_pace_counts_from_the_last_start() {
    let mut lanes = [Lane::of_delay(Duration::from_secs(60))];
    depart(&mut lanes, NOW).unwrap();
    assert_eq!(depart(&mut lanes, NOW), Err(NOW + Duration::from_secs(60)));
    let mut faster = [lanes[0].at_pace_of(Lane::of_delay(Duration::from_secs(1)))];
    assert_eq!(depart(&mut faster, NOW + Duration::from_secs(1)), Ok(()));
}

#[test]
fn rates_outside_the_range_are_refused() {
    assert!(CallRate::try_from(0.05).is_err());
    assert!(CallRate::try_from(f64::NAN).is_err());
    assert_eq!(
        CallRate::try_from(2.5).unwrap().interval(),
        Duration::from_millis(400)
    );
}

proptest! {
    // Each case is a minute of starts.
    #![proptest_config(ProptestConfig::with_cases(24))]

    // proves F-11
    #[test]
    fn lateness_is_made_up_for(rate in 20.0_f64..200.0, stall_ms in 0_i64..30) {
        let rate = CallRate::try_from(rate).unwrap();
        let mut lanes = [Lane::of_rate(rate)];
        let mut now = NOW;
        let n_starts = (rate.per_second() * 60.0) as u32;
        for n in 0..n_starts {
            let planned = NOW + rate.interval() * n;
            // Twice in the first half minute the machine is held up.
            let is_held_up = n == n_starts / 6 || n == n_starts / 4;
            now = max(now, planned);
            if is_held_up {
                now += jiff::SignedDuration::from_millis(stall_ms);
            }
            while let Err(at) = depart(&mut lanes, now) {
                now = at;
            }
        }
        let planned = NOW + rate.interval() * (n_starts - 1);
        prop_assert!(now <= planned + rate.interval(), "{now} instead of {planned}");
    }
}

#[test]
fn what_is_made_up_for_never_puts_two_too_many_into_a_second() {
    for per_second in 1..=200_u16 {
        let mut lanes = [Lane::of_rate(
            CallRate::try_from(f64::from(per_second)).unwrap(),
        )];
        let mut now = NOW;
        depart(&mut lanes, now).unwrap();
        now += jiff::SignedDuration::from_secs(5);
        let began = now;
        let mut n = 0;
        while now < began + Duration::from_secs(1) {
            match depart(&mut lanes, now) {
                Ok(()) => n += 1,
                Err(at) => now = at,
            }
        }
        assert!(n <= per_second + 1, "{n} at {per_second} per second");
    }
}

proptest! {
    // proves F-11
    #[test]
    fn late_starts_never_make_more_than_one_too_many_in_a_second(
        rate in 0.1_f64..200.0,
        late_ms in proptest::collection::vec(0_i64..400, 1..300),
    ) {
        let rate = CallRate::try_from(rate).unwrap();
        let mut lanes = [Lane::of_rate(rate)];
        let mut now = NOW;
        let mut sent: Vec<Timestamp> = Vec::new();
        for (n, late) in late_ms.iter().enumerate() {
            // Most come on time; every tenth is held up, and the ones behind it arrive at once.
            let stall = if n % 10 == 0 { *late } else { 0 };
            now += jiff::SignedDuration::from_millis(stall);
            while let Err(at) = depart(&mut lanes, now) {
                prop_assert!(at > now);
                now = at;
            }
            sent.push(now);
        }
        let most = rate.per_second().ceil() as usize + 1;
        for (n, first) in sent.iter().enumerate() {
            let within = sent[n..].iter().take_while(|at| **at < *first + Duration::from_secs(1));
            prop_assert!(within.count() <= most);
        }
    }

    #[test]
    fn a_least_distance_is_never_undercut(late_ms in proptest::collection::vec(0_i64..400, 1..100)) {
        let delay = Duration::from_millis(100);
        let mut lanes = [Lane::of_delay(delay)];
        let mut now = NOW;
        let mut last: Option<Timestamp> = None;
        for late in late_ms {
            now += jiff::SignedDuration::from_millis(late);
            while let Err(at) = depart(&mut lanes, now) {
                now = at;
            }
            prop_assert!(last.is_none_or(|last| now >= last + delay));
            last = Some(now);
        }
    }

    #[test]
    fn a_ramp_never_falls_and_never_passes_its_target(
        from in 0.1_f64..200.0, target in 0.1_f64..200.0, over_s in 0_u64..10_000,
        mut moments in proptest::collection::vec(0_u64..20_000, 2..20),
    ) {
        moments.sort_unstable();
        let limits = ramped(from, target, Duration::from_secs(over_s));
        let rates: Vec<_> = moments
            .iter()
            .map(|secs| limits.rate_after(Duration::from_secs(*secs)))
            .collect();
        prop_assert!(rates.is_sorted());
        prop_assert!(rates.iter().all(|rate| *rate <= limits.calls_per_second));
    }

    // A ramp makes the distance shrink from round to round; each must still be kept.
    #[test]
    fn starts_on_a_ramp_keep_the_rate_in_force(
        from in 0.1_f64..5.0, rise in 0.0_f64..50.0, over_s in 1_u64..60,
    ) {
        let limits = ramped(from, from + rise, Duration::from_secs(over_s));
        let mut usage = Usage::default();
        for round in 0..400_u64 {
            let active_for = Duration::from_millis(round * 100);
            let now = NOW + active_for;
            let gate = Gate::ramping(&limits, usage, active_for);
            for start in allow(&[Gate { max_open: 1_000, ..gate }], now, HORIZON, 100) {
                if let Some(last) = usage.last_start {
                    let until = Duration::try_from(start.duration_since(NOW)).unwrap();
                    let least = last + limits.rate_after(until).interval();
                    prop_assert!(start + Duration::from_millis(1) > least);
                }
                usage.last_start = Some(start);
            }
        }
    }

    #[test]
    fn starts_keep_every_gate(
        max_open in 0_u32..50, n_open in 0_u32..60, interval_ms in 1_u64..2_000,
        last_ms in proptest::option::of(-5_000_i64..500),
    ) {
        let gate = gate(max_open, interval_ms, n_open, last_ms);
        let starts = allow(&[gate], NOW, HORIZON, 100);
        prop_assert!(starts.len() as u32 + n_open <= max_open.max(n_open));
        let mut all: Vec<_> = gate.usage.last_start.into_iter().collect();
        all.extend(&starts);
        for pair in all.windows(2) {
            prop_assert!(pair[1] >= pair[0] + gate.interval);
        }
        prop_assert!(starts.iter().all(|at| *at >= NOW));
    }
}
