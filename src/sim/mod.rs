//! A telephone world in a box: a carrier and a voice agent on the wire, and people to call.
//!
//! One listener on the loopback speaks Twilio's REST interface, webhooks and media streams
//! (`/2010-04-01/...`), ElevenLabs' agent conversations (`/v1/convai/...`) and Vapi's calls
//! (`/call`, `/assistant`, `/vapi/...`), faithfully enough for the vendors' own SDKs; `/sim/...` shows what really happened and switches faults.
//! It is usable with any dialer and so deliberately knows nothing of this one: it shares only the
//! clock and the pure signature function.

mod agent;
pub mod callee;
mod chance;
pub mod config;
mod control;
pub mod faults;
mod file;
pub mod ledger;
mod mouth;
mod pace;
mod posting;
mod simulation;
mod tone;
mod twilio;
mod vapi;
pub mod world;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::net::TcpListener;

use self::simulation::Simulation;
pub use self::{
    callee::{Behaviour, Mix},
    config::{AgentSettings, AudioFormat, PostCallWebhook, SimulatorConfig, ToolUse},
    faults::Faults,
    ledger::{ConversationFacts, LedgerSnapshot, Totals},
};
use crate::clock::{Clock, SystemClock};

/// A running simulator; [`Simulator::shutdown`] ends it and everything it does.
pub struct Simulator {
    simulation: Arc<Simulation>,
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },

    #[error("cannot set up the simulator's HTTP client")]
    HttpClient(#[source] reqwest::Error),
}

impl Simulator {
    /// Starts listening and serving with the machine's own clock.
    pub async fn start(config: SimulatorConfig) -> Result<Self, SimulatorError> {
        Self::start_with_clock(config, Arc::new(SystemClock)).await
    }

    /// As [`Simulator::start`]; `clock` stamps what happens, waiting takes real time.
    pub async fn start_with_clock(
        config: SimulatorConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SimulatorError> {
        // Another part of the process may have installed it before; either is fine.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let address = config.listen;
        let listen_error = |source| SimulatorError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let http = twilio::webhook_client().map_err(SimulatorError::HttpClient)?;
        let simulation = Arc::new(Simulation::new(config, address, clock, http));
        simulation.tasks.spawn(serve(listener, simulation.clone()));
        Ok(Self { simulation })
    }

    /// `http://127.0.0.1:PORT`, for both the carrier's and the agent's base address.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.simulation.address)
    }

    /// The configuration in force, apart from faults changed later.
    pub fn config(&self) -> &SimulatorConfig {
        &self.simulation.config
    }

    /// What really happened so far.
    pub fn ledger(&self) -> LedgerSnapshot {
        self.simulation.ledger.snapshot()
    }

    /// The sums of what happened so far; far cheaper than the whole ledger, so made for polling.
    pub fn totals(&self) -> Totals {
        self.simulation.ledger.totals()
    }

    /// Replaces the faults for everything that begins from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.simulation.set_faults(faults);
    }

    /// Ends every call and conversation, then the listener; waits a few seconds at most.
    pub async fn shutdown(self) {
        let simulation = &self.simulation;
        simulation.stop.cancel();
        simulation.tasks.close();
        if tokio::time::timeout(SHUTDOWN_LIMIT, simulation.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("simulator stopped with work still under way");
        }
    }
}

impl Drop for Simulator {
    /// A simulator that is merely dropped still stops; only nobody waits for it.
    fn drop(&mut self) {
        self.simulation.stop.cancel();
    }
}

const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

async fn serve(listener: TcpListener, simulation: Arc<Simulation>) {
    let stop = simulation.stop.clone();
    let routes = Router::new()
        .merge(twilio::routes(simulation.clone()))
        .merge(agent::routes())
        .merge(vapi::routes())
        .merge(control::routes())
        .with_state(simulation);
    let serving = axum::serve(tcp_without_delay(listener), routes)
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                tracing::error!(%error, "simulator cannot serve");
            }
        }
        // A connection kept open by a client must not keep the simulator alive.
        () = async { stop.cancelled().await; tokio::time::sleep(CONNECTION_GRACE).await } => {}
    }
}

const CONNECTION_GRACE: Duration = Duration::from_millis(500);

/// Audio frames are small; waiting to fill a packet would add up to 40 ms to each.
fn tcp_without_delay(listener: TcpListener) -> impl axum::serve::Listener<Addr = SocketAddr> {
    use axum::serve::ListenerExt;
    listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection keeps its send delay");
        }
    })
}
