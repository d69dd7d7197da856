//! The real binary, killed without warning in the middle of a campaign.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use dialtone::sim::{AgentSettings, Behaviour, Mix, Simulator, SimulatorConfig};
use serde_json::json;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

use crate::world::{
    Client, OWNER, PASSWORD, Place, Waits, audit, end_waits, environment, list, until, watch_for,
};

const PEOPLE: u32 = 30;

/// How far the campaign has come when the server is killed: in calls placed, and how long after.
const KILLS: [(u64, u64); 3] = [(4, 130), (12, 310), (20, 50)];

/// What the carrier complains of when the server closes a stream, does not answer, breaks off in an
/// answer, or leaves a stream without a word.
const WHILE_DOWN: [u32; 8] = [31921, 11200, 11205, 11206, 31901, 31902, 31903, 31920];

/// A server process; dropping it kills it.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    async fn start(address: SocketAddr, vars: &BTreeMap<String, String>) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_dialtone"))
            .arg("serve")
            .env_clear()
            .envs(vars)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let server = Self { child, address };
        until("a server that is ready", async || {
            let answer = reqwest::get(format!("http://{address}/readyz")).await;
            answer
                .is_ok_and(|answer| answer.status().is_success())
                .then_some(())
        })
        .await;
        server
    }

    /// As by `kill -9`: nothing of the process gets a word in.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    async fn sign_in(&self) -> Client {
        Client::sign_in(&format!("http://{}", self.address), OWNER, PASSWORD).await
    }
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

fn people() -> SimulatorConfig {
    SimulatorConfig {
        seed: 11,
        agent: AgentSettings {
            turns: (1, 1),
            ..AgentSettings::default()
        },
        mix: Mix {
            machine: 0.0,
            ..Mix::default()
        },
        overrides: BTreeMap::from([("0".to_owned(), vec![Behaviour::Busy])]),
        ..SimulatorConfig::for_testing()
    }
}

// proves F-01, F-03, F-10, F-91
pub async fn a_server_that_is_killed_again_and_again_calls_nobody_twice_and_forgets_nobody(
    place: Arc<Place>,
) {
    let simulator = Simulator::start(people()).await.unwrap();
    let address = free_address().await;
    let vars = environment(&place, &simulator, &address.to_string());
    let mut server = Server::start(address, &vars).await;
    let owner = server.sign_in().await;
    let again = json!({"count": 1, "delaySeconds": 1});
    let settings = json!({
        "callsPerSecond": 10.0, "maxConcurrentCalls": 10, "maxDurationSeconds": 60,
        // Who is on the line when a server is killed hears nobody.
        "silentLimit": {"warnPermille": 1000, "stopPermille": 1000, "leastAnswered": 1000},
        "retry": {"maxAttempts": 2, "busy": again, "noAnswer": again, "failed": again},
    });
    let started = owner.upload(&list(0..PEOPLE), &settings, &[]).await.ok();
    let campaign = started["campaign"]["id"].as_str().unwrap().to_owned();

    for (n_placed, later) in KILLS {
        until("the moment of a crash", async || {
            (simulator.totals().calls_created >= n_placed).then_some(())
        })
        .await;
        watch_for(Duration::from_millis(later)).await;
        server.kill().await;
        server = Server::start(address, &vars).await;
    }

    // What would take an hour of waiting for lost news, and for the gap after a doubt.
    let store = place.open().await;
    let path = format!("/campaigns/{campaign}");
    until("the end of the campaign", async || {
        let progress = owner.get(&path).await.ok();
        let is_over = progress["status"] == "completed";
        assert_ne!(progress["status"], "paused", "{}", progress["reason"]);
        if !is_over && simulator.totals().live == 0 {
            end_waits(&*store, &campaign, Waits::All).await;
        }
        is_over.then_some(())
    })
    .await;

    audit::check(&simulator, &owner, &BTreeSet::from(WHILE_DOWN)).await;
    let ledger = simulator.ledger();
    assert!(ledger.totals.live_max <= 10, "{:?}", ledger.totals);
    assert_eq!(
        owner.all(&format!("{path}/contacts")).await.len(),
        PEOPLE as usize
    );
    server.kill().await;
    simulator.shutdown().await;
}
