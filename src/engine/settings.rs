//! How the engine works: sizes, rates and waits.

use std::time::Duration;

use super::decide::Timing;
use crate::domain::{
    pacing::{CallRate, Gate, Usage},
    phone::PhoneNumber,
    rules::Rule,
};

/// How the engine works.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// How long to wait for what before the carrier is asked.
    pub timing: Timing,
    /// What a whole tenant may use.
    pub tenant_limits: TenantLimits,
    /// The numbers that callees may see; the first is used where a campaign names none.
    pub caller_ids: Vec<PhoneNumber>,
    /// How long a tenant's lease lasts. Renewed every third of it; a dead process is replaced when
    /// it ends.
    pub lease: Duration,
    /// How long a claim lasts between claiming and the saved intent.
    pub claim: Duration,
    /// How far ahead dial starts are given out at least. Longer keeps high rates steadier, shorter
    /// lets a pause or a new limit act sooner.
    pub horizon: Duration,
    /// How late after its start a request may still go out; after that it is given back. Together
    /// with the request's own deadline it stays below [`Timing::reply`], so that nobody asks about a
    /// call before it was asked for.
    pub send_window: Duration,
    /// The most requests for calls under way at the carrier (F-27).
    pub max_requests: usize,
    /// Workers that process signals; those of one enrollment always meet the same one.
    pub inbox_workers: usize,
    /// How many signals wait for a worker before the rest is left to the sweep.
    pub inbox_queue: usize,
    /// How often to look for attempts without news and for unprocessed signals.
    pub sweep: Duration,
    /// How often to look for calls whose price is to be asked for.
    pub prices: Duration,
    /// How often to look for recordings that are older than they may become.
    pub retention: Duration,
    /// The longest that dispatch sleeps.
    pub idle_wait: Duration,
    /// How many refusals for an unknown reason in a row stand a campaign still (F-21).
    pub max_unclassified: u32,
    /// How many requests in a row may get no usable answer before the campaign stands still: each
    /// holds a place until the carrier was asked twice whether it has made the call.
    pub max_unanswered: u32,
    /// How many answered calls in a row may get no agent before the campaign stands still (F-35).
    pub max_agent_failures: u32,
    /// Where other processes of the installation reach this one; none where there are no others.
    pub node_url: Option<String>,
}

/// What a whole tenant may use, over all campaigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLimits {
    /// Open calls at once.
    pub max_concurrent_calls: u32,
    /// Dial starts per second: what the carrier account releases, so that its queue stays empty.
    pub calls_per_second: CallRate,
    /// Conversations that the agent's account holds at once; none where it sets no limit. Every open
    /// call counts: whoever answers needs an agent at once.
    pub max_conversations: Option<u32>,
}

impl Default for TenantLimits {
    /// A hundred calls at once; one start a second, which is a carrier account's usual rate.
    fn default() -> Self {
        Self {
            max_concurrent_calls: 100,
            calls_per_second: CallRate::default(),
            max_conversations: None,
        }
    }
}

impl TenantLimits {
    /// The gates of these limits by name, with what is used of them.
    pub fn gates(&self, usage: Usage) -> Vec<(Rule, Gate)> {
        let account = Gate {
            max_open: self.max_concurrent_calls,
            interval: self.calls_per_second.interval(),
            usage,
        };
        let agent = self
            .max_conversations
            .map(|most| (Rule::AgentSlots, Gate::of_room(most, usage.n_open)));
        std::iter::once((Rule::TenantSlots, account))
            .chain(agent)
            .collect()
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            tenant_limits: TenantLimits::default(),
            caller_ids: Vec::new(),
            lease: Duration::from_millis(3000),
            claim: Duration::from_secs(30),
            horizon: Duration::from_millis(250),
            send_window: Duration::from_secs(3),
            max_requests: 16,
            inbox_workers: 32,
            inbox_queue: 1024,
            sweep: Duration::from_secs(1),
            prices: Duration::from_secs(15),
            retention: Duration::from_secs(600),
            idle_wait: Duration::from_millis(500),
            max_unclassified: 5,
            max_unanswered: 20,
            max_agent_failures: 5,
            node_url: None,
        }
    }
}
