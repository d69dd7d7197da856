//! Recordings, which the carrier keeps: listened to, and deleted with a person's data.

use super::{Core, Engine, EngineError, EngineResult};
use crate::{
    domain::{
        enrollment::CallRecord,
        ids::{AttemptId, TenantId},
    },
    telephony::RecordedAudio,
};

impl Engine {
    /// Opens a call's recording; `range` is what the reader asked for, in the words of HTTP's `Range`, of
    /// which the carrier may make nothing.
    ///
    /// - Errors: [`EngineError::NotFound`] for a call that is not there or has no recording;
    ///   [`EngineError::NotYet`] while the carrier does not have it ready; [`EngineError::Carrier`].
    pub async fn recording(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        range: Option<&str>,
    ) -> EngineResult<RecordedAudio> {
        let call = self.core.store.find_call(tenant, attempt).await?;
        let call = call.ok_or(EngineError::NotFound { what: "call" })?;
        let recording = call.attempt.facts.recording;
        let recording = recording.ok_or(EngineError::NotFound { what: "recording" })?;
        let audio = self.core.carrier.recording(&recording.sid, range).await?;
        audio.ok_or(EngineError::NotYet(
            "the carrier has the recording not ready yet, or no longer",
        ))
    }
}

impl Core {
    /// Has the carrier delete the recordings of calls.
    pub(super) async fn delete_recordings(&self, calls: &[CallRecord]) -> EngineResult<()> {
        for call in calls {
            if let Some(recording) = &call.attempt.facts.recording {
                self.carrier.delete_recording(&recording.sid).await?;
            }
        }
        Ok(())
    }
}
