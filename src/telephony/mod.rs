//! Carriers: how a call is placed, looked up and ended, and how its audio is spoken of.
//!
//! Knows no vendor's words; those are in the vendor's directory. Knows no campaign either: a carrier
//! places what it is told to place.

pub mod media;
pub mod twilio;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::domain::{
    Timestamp,
    ids::{AttemptId, CallSid, RecordingSid},
    machine::{AnsweredBy, Detection, Speech},
    outcome::Fault,
    phone::PhoneNumber,
    price::Price,
    signal::SignalKind,
};

/// A cause that is kept for the log only.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a carrier is asked to place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRequest {
    /// Carried in every callback address, so that each callback names its attempt.
    pub attempt: AttemptId,
    /// Whom to call.
    pub to: PhoneNumber,
    /// The number the callee sees.
    pub from: PhoneNumber,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// How long the call may last.
    pub max_duration: Duration,
    /// Whether and how the carrier listens for machines.
    pub detection: Option<Detection>,
    /// Whether the carrier records both sides.
    pub is_recorded: bool,
}

/// A recording as it comes from the carrier.
pub struct RecordedAudio {
    /// The media type of the bytes.
    pub content_type: String,
    /// How many bytes the whole recording has; none when the carrier does not say.
    pub total: Option<u64>,
    /// Which bytes these are, from and to inclusively; none for all.
    pub range: Option<(u64, u64)>,
    /// The bytes, in order.
    pub bytes: BoxStream<'static, Result<Bytes, BoxError>>,
}

/// To whom a callee is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRequest {
    /// Carried in every callback address, so that each callback names its attempt.
    pub attempt: AttemptId,
    /// Who is called.
    pub to: PhoneNumber,
    /// The number that person sees.
    pub from: PhoneNumber,
}

/// A call as the carrier knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// The carrier's name for it.
    pub sid: CallSid,
    /// When the carrier created it, cut to the second; none when it does not say.
    pub created_at: Option<Timestamp>,
    /// How far it has come.
    pub status: SignalKind,
    /// The verdict of the carrier's detection, if it listened and came to one.
    pub answered_by: Option<AnsweredBy>,
    /// What it takes for the call; none before its end and for some time after it. What a person costs to
    /// whom the callee was transferred is not in it.
    pub price: Option<Price>,
}

/// One of the calls that the carrier made for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCall {
    /// Who was called.
    pub to: PhoneNumber,
    /// The number that the callee saw.
    pub from: PhoneNumber,
    /// What the carrier knows of it.
    pub report: CallReport,
}

/// Why a call was not placed, sorted by what the engine may do about it.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    /// Refused before dialing; no call exists.
    #[error("carrier refused: {} ({:?})", .0.detail, .0.code)]
    Refused(Fault),

    /// The carrier asks for fewer requests; no call exists.
    #[error("carrier asked us to wait {} ms", .wait.as_millis())]
    Throttled {
        /// For how long.
        wait: Duration,
    },

    /// No connection was made, so nothing was asked; no call exists.
    #[error("carrier could not be reached: {0}")]
    Unreachable(#[source] BoxError),

    /// No usable answer, so the call may exist. Look it up; never dial again on a guess.
    #[error("carrier gave no usable answer; the call may exist: {0}")]
    Unknown(#[source] BoxError),
}

/// Somebody who connects calls.
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// Asks for a call. Never repeats the request by itself.
    ///
    /// - Shape: the carrier's name for the call, which is then queued, not yet dialed.
    /// - Errors: see [`CarrierError`]; after [`CarrierError::Unknown`] the call may exist.
    async fn place(&self, request: &CallRequest) -> Result<CallSid, CarrierError>;

    /// What the carrier knows of a call; none when it knows no such call.
    async fn fetch(&self, sid: &CallSid) -> Result<Option<CallReport>, CarrierError>;

    /// Calls from one number to another that the carrier created at or after `since`, newest
    /// first, queued ones included. The list may lag some seconds behind.
    async fn find(
        &self,
        to: &PhoneNumber,
        from: &PhoneNumber,
        since: Timestamp,
    ) -> Result<Vec<CallReport>, CarrierError>;

    /// Every call to a phone number that began at or after `since` or still waits to be made, oldest
    /// first, whoever asked for it. The list may lag some seconds behind.
    async fn calls_since(&self, since: Timestamp) -> Result<Vec<ListedCall>, CarrierError>;

    /// Withdraws a call that nobody has answered yet; one that was answered goes on. A call that is
    /// already over is no error.
    async fn cancel(&self, sid: &CallSid) -> Result<(), CarrierError>;

    /// Ends a call in whatever state it is. A call that is already over is no error.
    async fn end(&self, sid: &CallSid) -> Result<(), CarrierError>;

    /// Ends an answered call's audio, says or plays `speech` to who is on the line, and ends the call. A
    /// call that is already over is no error.
    async fn speak(&self, sid: &CallSid, speech: &Speech) -> Result<(), CarrierError>;

    /// Opens a recording with both sides; `range` is what the reader asked for, in the words of HTTP's
    /// `Range`, and the carrier may give the whole all the same. None while there is no such recording,
    /// which may be so for a moment after it was told.
    async fn recording(
        &self,
        recording: &RecordingSid,
        range: Option<&str>,
    ) -> Result<Option<RecordedAudio>, CarrierError>;

    /// Deletes a recording. One that is gone is no error.
    async fn delete_recording(&self, recording: &RecordingSid) -> Result<(), CarrierError>;
    /// Ends an answered call's audio, calls a person and joins both, for as long as
    /// [`TransferPolicy`](crate::domain::transfer::TransferPolicy) says. What the person hears first,
    /// what became of it and what follows is told and asked by callbacks.
    ///
    /// - Errors: after any of them the callee is where they were, as far as can be known.
    async fn transfer(&self, sid: &CallSid, request: &TransferRequest) -> Result<(), CarrierError>;
}
