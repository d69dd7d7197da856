use super::*;

const MS: Duration = Duration::from_millis(1);

fn audio(byte: u8, n_frames: usize) -> Vec<u8> {
    vec![byte; n_frames * FRAME_BYTES]
}

fn callee(byte: u8) -> Overheard {
    Overheard::Callee(audio(byte, 1).into())
}

fn agent(n_frames: usize) -> Overheard {
    Overheard::Agent(audio(1, n_frames).into())
}

/// Everything that is to be heard at one moment.
fn all(playout: &mut Playout, now: Instant) -> Vec<Sound> {
    std::iter::from_fn(|| playout.next(now)).collect()
}

#[test]
fn an_agents_speech_is_heard_at_the_pace_of_speech_and_the_callees_at_once() {
    let start = now();
    let mut playout = Playout::new(start);
    playout.take(agent(3), start);
    playout.take(callee(7), start);
    let said = Sound::Callee(audio(7, 1).into());
    let first = Sound::Agent(audio(1, 1));
    assert_eq!(all(&mut playout, start), [first.clone(), said]);
    assert_eq!(playout.next_at(), Some(start + 20 * MS));
    assert_eq!(all(&mut playout, start + 19 * MS), []);
    // Whoever comes late gets what was due meanwhile.
    assert_eq!(
        all(&mut playout, start + 45 * MS),
        [Sound::Agent(audio(1, 2))]
    );
    assert_eq!(playout.next_at(), None);
    // A pause is not made up for.
    playout.take(agent(2), start + 500 * MS);
    assert_eq!(all(&mut playout, start + 500 * MS), [first]);
}

#[test]
fn what_the_callee_speaks_over_is_not_heard() {
    let start = now();
    let mut playout = Playout::new(start);
    playout.take(agent(100), start);
    all(&mut playout, start);
    playout.take(Overheard::Cleared, start + 100 * MS);
    playout.take(agent(1), start + 100 * MS);
    let heard = all(&mut playout, start + 100 * MS);
    assert_eq!(heard, [Sound::Cleared, Sound::Agent(audio(1, 1))]);
    assert_eq!(playout.next_at(), None);
}

#[test]
fn a_listener_who_takes_nothing_loses_the_oldest_and_is_told_how_much() {
    let start = now();
    let mut playout = Playout::new(start);
    for byte in 0..60 {
        playout.take(callee(byte), start);
    }
    playout.take(agent(150), start);
    let mut heard = all(&mut playout, start + 2_000 * MS).into_iter();
    // Of what the callee said all but a second, and the second of the agent that was heard before that.
    let lost = 10 * FRAME + 1_000 * MS;
    assert_eq!(heard.next(), Some(Sound::Lost(lost)));
    assert_eq!(heard.next(), Some(Sound::Agent(audio(1, 51))));
    assert_eq!(heard.next(), Some(Sound::Callee(audio(10, 1).into())));
    assert_eq!(heard.len(), 49);
}

#[test]
fn an_agent_that_says_more_than_a_minute_at_once_is_heard_for_a_minute() {
    let start = now();
    let mut playout = Playout::new(start);
    playout.take(agent(60 * 50 + 5), start);
    assert_eq!(playout.next(start), Some(Sound::Lost(5 * FRAME)));
    assert_eq!(playout.agent.len(), MAX_AGENT);
}

#[tokio::test(start_paused = true)]
async fn a_tap_never_waits_and_forgets_who_left() {
    let mut tap = Tap::default();
    let frame = STANDARD.encode(audio(9, 1));
    tap.callee(&frame);
    let (lead, mut ear) = ear();
    let (other, gone) = super::ear();
    tap.add(lead);
    tap.add(other);
    drop(gone);
    for _ in 0..PIECES_WAITING + 3 {
        tap.callee(&frame);
    }
    tap.callee("not base64!");
    assert_eq!(tap.leads.len(), 1);
    // Three did not fit into the channel, and of those that did, a second is kept.
    let lost = FRAME * u32::try_from(PIECES_WAITING + 3 - 50).unwrap();
    assert_eq!(ear.next().await, Some(Sound::Lost(lost)));
    for _ in 0..50 {
        assert_eq!(ear.next().await, Some(Sound::Callee(audio(9, 1).into())));
    }
    tap.agent(&STANDARD.encode(audio(1, 2)));
    assert_eq!(ear.next().await, Some(Sound::Agent(audio(1, 1))));
    assert_eq!(ear.next().await, Some(Sound::Agent(audio(1, 1))));
    tap.close();
    assert_eq!(ear.next().await, None);
}
