//! The carrier as one life of a process reaches it.

use async_trait::async_trait;

use super::{Placed, report};
use crate::{
    clock::Clock as _,
    domain::{
        Timestamp,
        ids::{CallSid, RecordingSid},
        machine::Speech,
        phone::PhoneNumber,
    },
    sim::world::{node::Control, plan::REQUEST_DEADLINE, scene::Gate},
    telephony::{
        CallReport, CallRequest, Carrier, CarrierError, ListedCall, RecordedAudio, TransferRequest,
    },
};

/// The carrier as one life of a process reaches it.
pub struct InProcessCarrier {
    control: Control,
}

impl InProcessCarrier {
    /// The carrier of one life of a process.
    pub fn new(control: Control) -> Self {
        Self { control }
    }

    /// A question, which takes its time and may fail.
    async fn ask(&self) -> Result<(), CarrierError> {
        self.control.pass().await;
        let (wait, fails) = {
            let mut state = self.control.scene.lock();
            state.totals.n_questions += 1;
            let fails = state.faults.question_fails;
            (state.dice.millis(5, 300), state.dice.happens(fails))
        };
        self.control.sleep(wait).await;
        self.control.may_break().await;
        if fails {
            self.control.scene.lock().totals.n_failed_questions += 1;
            return Err(CarrierError::Unknown("no answer".into()));
        }
        Ok(())
    }

    fn is_unreachable(&self) -> bool {
        let mut state = self.control.scene.lock();
        let probability = state.faults.unreachable;
        let is_so = state.dice.happens(probability);
        state.totals.n_unreachable += u64::from(is_so);
        is_so
    }
}

#[async_trait]
impl Carrier for InProcessCarrier {
    async fn place(&self, order: &CallRequest) -> Placed {
        // No standing still here: between a process's last look at what is saved and the request
        // there is no help against that.
        self.control.may_crash().await;
        if self.is_unreachable() {
            return Err(CarrierError::Unreachable("no connection".into()));
        }
        let (request, answer) = self.control.scene.lock().leave(&self.control, order);
        self.control.may_break().await;
        let deadline = self.control.clock.sleep(REQUEST_DEADLINE);
        let placed = tokio::select! {
            biased;
            placed = answer => placed.unwrap_or(Err(CarrierError::Unknown("reset".into()))),
            () = deadline => Err(CarrierError::Unknown("no answer in time".into())),
        };
        self.control.may_break().await;
        self.control.scene.lock().learn(request, &placed);
        placed
    }

    async fn fetch(&self, sid: &CallSid) -> Result<Option<CallReport>, CarrierError> {
        self.ask().await?;
        let report = {
            let state = self.control.scene.lock();
            let calls = &state.ledger.calls;
            calls.iter().find(|call| call.sid == *sid).map(report)
        };
        self.control.may_break().await;
        Ok(report)
    }

    async fn find(
        &self,
        to: &PhoneNumber,
        from: &PhoneNumber,
        since: Timestamp,
    ) -> Result<Vec<CallReport>, CarrierError> {
        self.ask().await?;
        let reports = self.control.scene.lock().list(to, from, since);
        self.control.may_break().await;
        Ok(reports)
    }

    async fn calls_since(&self, since: Timestamp) -> Result<Vec<ListedCall>, CarrierError> {
        self.ask().await?;
        let calls = self.control.scene.lock().list_since(since);
        self.control.may_break().await;
        Ok(calls)
    }

    async fn cancel(&self, sid: &CallSid) -> Result<(), CarrierError> {
        self.ask().await?;
        self.control.scene.lock().withdraw_call(sid);
        self.control.may_break().await;
        Ok(())
    }

    async fn end(&self, sid: &CallSid) -> Result<(), CarrierError> {
        self.ask().await?;
        self.control.scene.lock().end_call(sid);
        self.control.may_break().await;
        Ok(())
    }

    /// Takes no time here: the call ends at once.
    async fn speak(&self, sid: &CallSid, _speech: &Speech) -> Result<(), CarrierError> {
        self.end(sid).await
    }

    /// Nobody is recorded here.
    async fn recording(
        &self,
        _recording: &RecordingSid,
        _range: Option<&str>,
    ) -> Result<Option<RecordedAudio>, CarrierError> {
        self.ask().await?;
        Ok(None)
    }

    async fn delete_recording(&self, _recording: &RecordingSid) -> Result<(), CarrierError> {
        self.ask().await
    }

    /// Nobody talks for long here: the call ends at once.
    async fn transfer(
        &self,
        sid: &CallSid,
        _request: &TransferRequest,
    ) -> Result<(), CarrierError> {
        self.end(sid).await
    }
}

impl Control {
    /// Dies here, if chance has it.
    async fn may_crash(&self) {
        {
            let mut state = self.scene.lock();
            let probability = state.faults.crash;
            if state.nodes[self.node].gate == Gate::Open && state.dice.happens(probability) {
                state.kill(self.node);
            }
        }
        self.pass_alive().await;
    }
}
