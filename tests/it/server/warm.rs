//! Connections to the agent that are prepared while a phone rings.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::Timestamp,
    sim::{Behaviour::NoAnswer, ConversationFacts},
};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::world::{Place, Scenario, World, list, until};

/// Nobody is called twice.
fn once() -> Value {
    json!({"retry": {"maxAttempts": 1}})
}

/// What stands between the server and the agent's sockets, and counts connections.
struct Gate {
    address: SocketAddr,
    agent: OnceLock<SocketAddr>,
    opened_at: Mutex<Vec<Timestamp>>,
    n_open: AtomicUsize,
    /// How many of the first connections are closed at once.
    n_cut: usize,
}

impl Gate {
    async fn start(n_cut: usize) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            agent: OnceLock::new(),
            opened_at: Mutex::default(),
            n_open: AtomicUsize::new(0),
            n_cut,
        });
        tokio::spawn(gate.clone().run(listener));
        gate
    }

    async fn run(self: Arc<Self>, listener: TcpListener) {
        while let Ok((socket, _)) = listener.accept().await {
            let n = {
                let mut opened_at = self.opened_at.lock().unwrap();
                opened_at.push(SystemClock.now());
                opened_at.len()
            };
            if n > self.n_cut {
                tokio::spawn(self.clone().pass(socket));
            }
        }
    }

    async fn pass(self: Arc<Self>, mut socket: TcpStream) {
        self.n_open.fetch_add(1, Ordering::Relaxed);
        let agent = self.agent.get().expect("the world was started");
        if let Ok(mut agent) = TcpStream::connect(agent).await {
            // Either end may go away as it likes.
            copy_bidirectional(&mut socket, &mut agent).await.ok();
        }
        self.n_open.fetch_sub(1, Ordering::Relaxed);
    }

    fn opened_at(&self) -> Vec<Timestamp> {
        self.opened_at.lock().unwrap().clone()
    }

    fn n_open(&self) -> usize {
        self.n_open.load(Ordering::Relaxed)
    }

    /// Starts a world whose agent is behind this. Phones ring for seconds.
    async fn lead(self: &Arc<Self>, scenario: Scenario) -> World {
        let address = self.address;
        let world = scenario
            .simulator(|simulator| {
                simulator.speed = 2.0;
                simulator.agent.address = Some(address);
            })
            .start()
            .await;
        let agent = world.simulator.base_url();
        let agent = agent.strip_prefix("http://").unwrap().parse().unwrap();
        self.agent.set(agent).unwrap();
        world
    }
}

// proves F-34
pub async fn who_answers_is_joined_over_the_connection_that_was_prepared(place: Arc<Place>) {
    let gate = Gate::start(0).await;
    let world = gate.lead(Scenario::on(&place)).await;
    let campaign = world.start_campaign(&list(0..1), once()).await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.contact(&campaign, 0).await["outcome"], "answered");
    let ledger = world.ledger();
    assert_eq!(ledger.conversations.len(), 1);
    let opened_at = gate.opened_at();
    assert_eq!(opened_at.len(), 1);
    let answered_at = ledger.calls[0].answered_at.unwrap();
    assert!(opened_at[0] < answered_at, "{opened_at:?}, {answered_at}");
    assert!(ledger.conversations[0].opened_at >= answered_at);
    until("no connection left", async || {
        (gate.n_open() == 0).then_some(())
    })
    .await;
    world.end().await;
}

// proves F-34
pub async fn a_connection_that_was_lost_while_it_rang_is_made_anew(place: Arc<Place>) {
    let gate = Gate::start(1).await;
    let world = gate.lead(Scenario::on(&place)).await;
    let campaign = world.start_campaign(&list(0..1), once()).await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.contact(&campaign, 0).await["outcome"], "answered");
    assert_eq!(world.ledger().conversations.len(), 1);
    assert_eq!(gate.opened_at().len(), 2);
    world.end().await;
}

// proves F-34, F-39
pub async fn nothing_is_left_of_what_was_prepared_for_who_never_answers(place: Arc<Place>) {
    let gate = Gate::start(0).await;
    let world = gate.lead(Scenario::on(&place).everyone(NoAnswer)).await;
    let campaign = world.start_campaign(&list(0..2), once()).await;
    until("a connection for each who is rung", async || {
        (gate.opened_at().len() == 2).then_some(())
    })
    .await;
    world.until_status(&campaign, "completed").await;
    until("no connection left", async || {
        (gate.n_open() == 0).then_some(())
    })
    .await;
    assert_eq!(world.ledger().conversations.len(), 0);
    assert_eq!(gate.opened_at().len(), 2);
    world.end().await;
}

pub async fn nothing_is_prepared_where_nothing_may_be(place: Arc<Place>) {
    let gate = Gate::start(0).await;
    let scenario = Scenario::on(&place)
        .callee(1, [NoAnswer])
        .setting("DIALTONE_AGENT_WARM_UP", 0);
    let world = gate.lead(scenario).await;
    let campaign = world.start_campaign(&list(0..2), once()).await;
    world.until_status(&campaign, "completed").await;
    let ledger = world.ledger();
    assert_eq!(ledger.conversations.len(), 1);
    let opened_at = gate.opened_at();
    assert_eq!(opened_at.len(), 1);
    let answered_at = ledger.calls.iter().find_map(|call| call.answered_at);
    assert!(Some(opened_at[0]) >= answered_at, "{opened_at:?}");
    world.end().await;
}

// proves F-34, F-35
pub async fn the_agents_room_is_kept_with_prepared_connections_counted(place: Arc<Place>) {
    let gate = Gate::start(0).await;
    let scenario = Scenario::on(&place).setting("DIALTONE_AGENT_MAX_CONVERSATIONS", 2);
    let world = gate.lead(scenario).await;
    let campaign = world.start_campaign(&list(0..4), once()).await;
    world.until_status(&campaign, "completed").await;
    let conversations = world.ledger().conversations;
    // One connection for each, and none beside them.
    assert_eq!((conversations.len(), gate.opened_at().len()), (4, 4));
    for one in &conversations {
        let at = one.opened_at;
        let is_up = |other: &&_| is_up(other, at);
        assert!(conversations.iter().filter(is_up).count() <= 2, "{at}");
    }
    world.end().await;
}

fn is_up(conversation: &ConversationFacts, at: Timestamp) -> bool {
    conversation.opened_at <= at && conversation.closed_at.is_none_or(|end| at < end)
}
