//! The tools that an agent uses during a call: seen to, and answered in words that it can say.

use std::collections::BTreeSet;

use tracing::{info, warn};

use super::keep::{SAVE_TRIES, insist, opt_out};
use crate::{
    bridge::{Tool, ToolAnswer, ToolCall},
    domain::{attempt::Party, suppression::SuppressionSource},
    engine::{Engine, EngineError, Talk, TransferError, WishError},
};

/// What an agent is told when the records cannot be written.
const NOT_NOW: &str = "this could not be noted now; try again in a moment";

/// Does what an agent asks for. Gives its answer, unless it has one already.
pub(super) async fn serve(
    engine: &Engine,
    talk: &Talk,
    call: &ToolCall,
    wishes: &mut BTreeSet<SuppressionSource>,
) -> Option<ToolAnswer> {
    info!(tool = call.tool.name(), "the agent uses a tool");
    match &call.tool {
        Tool::DoNotCall { reason } => {
            let by = SuppressionSource::Agent;
            if wishes.insert(by) {
                opt_out(engine, talk, by, reason.clone()).await;
            }
            None
        }
        Tool::SetDisposition { disposition, note } => {
            let save = || engine.dispose(talk, disposition.clone(), note.clone());
            Some(match insist(SAVE_TRIES, save).await {
                Ok(()) => call.done("noted"),
                Err(error) => not_saved(call, &error),
            })
        }
        Tool::ScheduleCallback { at, note } => {
            Some(schedule(engine, talk, call, at, note.as_ref()).await)
        }
        Tool::TransferToHuman => Some(transfer(engine, talk, call).await),
        // The call ends it by itself, and what the tenant defined is used beside it.
        Tool::EndCall | Tool::Custom { .. } => None,
    }
}

async fn schedule(
    engine: &Engine,
    talk: &Talk,
    call: &ToolCall,
    at: &str,
    note: Option<&String>,
) -> ToolAnswer {
    let save = || async {
        match engine.call_again(talk, at, note.cloned()).await {
            Ok(when) => Ok(Ok(when)),
            Err(WishError::Refused(refused)) => Ok(Err(refused)),
            Err(WishError::Engine(error)) => Err(error),
        }
    };
    let said = match insist(SAVE_TRIES, save).await {
        Ok(said) => said,
        Err(error) => return not_saved(call, &error),
    };
    match said {
        Ok(when) => call.done(format!(
            "noted, the callee will be called again on {when} by their clock"
        )),
        Err(refused) => call.refused(refused.to_string()),
    }
}

async fn transfer(engine: &Engine, talk: &Talk, call: &ToolCall) -> ToolAnswer {
    let by = Party::Agent;
    let tenant = talk.campaign.tenant;
    match engine.transfer(tenant, talk.attempt, by, None).await {
        Ok(()) => call.done("the callee is being connected"),
        Err(TransferError::Refused(refused)) => call.refused(refused.to_string()),
        Err(error @ TransferError::Carrier) => call.refused(error.to_string()),
        Err(TransferError::Engine(error)) => {
            warn!(%error, "a transfer was not begun");
            call.refused("the call cannot be transferred at the moment")
        }
    }
}

fn not_saved(call: &ToolCall, error: &EngineError) -> ToolAnswer {
    warn!(%error, tool = call.tool.name(), "what an agent asked for was not saved");
    call.refused(NOT_NOW)
}
