//! Recordings: what both sides of a call said, kept as a sound file once the call is over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    extract::{OriginalUri, Path, Query, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_RANGE, CONTENT_TYPE, RANGE},
    },
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    call::{API_VERSION, Call, rfc_2822},
    error::Refusal,
    fields::{Fields, Target, target},
    status_callback::notify,
    webhook::field,
};
use crate::sim::{
    file::wav_head,
    simulation::Simulation,
    tone::{LINE_RATE, SILENCE, decode},
};

/// How many recordings are kept; the oldest go first.
const MOST_KEPT: usize = 200;

/// What is asked of a recording when a call is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingOrder {
    /// Each side on a channel of its own.
    pub is_dual: bool,
    /// Who is told when it is complete.
    pub callback: Option<Target>,
}

impl RecordingOrder {
    /// Reads the fields of `POST Calls.json`; none without `Record`.
    pub fn parse(fields: &Fields) -> Result<Option<Self>, Refusal> {
        if !fields.is_true("Record") {
            return Ok(None);
        }
        let is_dual = match fields.get("RecordingChannels") {
            None | Some("mono") => false,
            Some("dual") => true,
            Some(other) => {
                let message = format!("invalid RecordingChannels: {other}");
                return Err(Refusal::bad_request(20001, message));
            }
        };
        let name = "RecordingStatusCallback";
        let callback = target(fields, name, "RecordingStatusCallbackMethod", 21609)?;
        let mut events = fields.all("RecordingStatusCallbackEvent").peekable();
        // Without names it is the completion alone; several may stand in one value here.
        let is_told = events.peek().is_none()
            || events
                .flat_map(str::split_whitespace)
                .any(|event| event == "completed");
        Ok(Some(Self {
            is_dual,
            callback: callback.filter(|_| is_told),
        }))
    }
}

/// What is being recorded: mu-law from the answer on.
#[derive(Debug)]
pub struct Tape {
    began: Instant,
    callee: Track,
    dialer: Track,
}

impl Tape {
    /// A tape that runs from now on.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            callee: Track::default(),
            dialer: Track::default(),
        }
    }

    /// The callee's voice, at this moment.
    pub fn hear_callee(&mut self, audio: &[u8]) {
        self.callee.put(self.began.elapsed(), audio);
    }

    /// What the dialer plays, from `begins` on.
    pub fn play(&mut self, begins: Instant, audio: &[u8]) {
        self.dialer.put(begins - self.began, audio);
    }

    /// What the dialer had queued is dropped.
    pub fn clear(&mut self) {
        self.dialer.cut(self.began.elapsed());
    }
}

/// One side's audio.
#[derive(Debug, Default)]
struct Track(Vec<u8>);

impl Track {
    /// Adds audio that begins then, behind what is there, with silence between.
    fn put(&mut self, begins: Duration, audio: &[u8]) {
        let begins = n_samples(begins).max(self.0.len());
        self.0.resize(begins, SILENCE);
        self.0.extend_from_slice(audio);
    }

    /// Drops what would come after that.
    fn cut(&mut self, at: Duration) {
        self.0.truncate(n_samples(at));
    }

    fn sample(&self, at: usize) -> i16 {
        self.0.get(at).map_or(0, |byte| decode(*byte))
    }
}

fn n_samples(time: Duration) -> usize {
    (time.as_secs_f64() * LINE_RATE as f64) as usize
}

/// A complete recording.
#[derive(Debug)]
pub struct Recording {
    sid: String,
    call_sid: String,
    account_sid: String,
    is_dual: bool,
    length: Duration,
    created_at: Timestamp,
    /// When its file can be had.
    ready_at: Timestamp,
    tape: Tape,
}

impl Recording {
    /// A WAV file of 16-bit samples at 8 kHz: the callee first, then the dialer.
    fn file(&self, is_dual: bool) -> Vec<u8> {
        let n_channels = if is_dual { 2_u16 } else { 1 };
        let n_samples = n_samples(self.length);
        let rate = LINE_RATE as u32;
        let mut file = wav_head(n_channels, rate, n_samples);
        for at in 0..n_samples {
            let (callee, dialer) = (self.tape.callee.sample(at), self.tape.dialer.sample(at));
            if is_dual {
                file.extend_from_slice(&callee.to_le_bytes());
                file.extend_from_slice(&dialer.to_le_bytes());
            } else {
                file.extend_from_slice(&callee.saturating_add(dialer).to_le_bytes());
            }
        }
        file
    }

    fn to_json(&self) -> Value {
        let base = format!(
            "/{API_VERSION}/Accounts/{}/Recordings/{}",
            self.account_sid, self.sid
        );
        json!({
            "sid": self.sid,
            "account_sid": self.account_sid,
            "call_sid": self.call_sid,
            "conference_sid": null,
            "channels": if self.is_dual { 2 } else { 1 },
            "source": "OutboundAPI",
            "status": "completed",
            "duration": self.length.as_secs().to_string(),
            "start_time": rfc_2822(self.created_at),
            "date_created": rfc_2822(self.created_at),
            "date_updated": rfc_2822(self.created_at),
            "price": null,
            "price_unit": "USD",
            "error_code": null,
            "track": "both",
            "encryption_details": null,
            "media_url": base,
            "uri": format!("{base}.json"),
        })
    }
}

/// The account's recordings.
#[derive(Debug, Default)]
pub struct Archive(Mutex<BTreeMap<String, Arc<Recording>>>);

impl Archive {
    fn keep(&self, recording: Arc<Recording>) {
        let mut kept = self.lock();
        if kept.len() >= MOST_KEPT
            && let Some(oldest) = kept.values().min_by_key(|it| it.created_at)
        {
            let sid = oldest.sid.clone();
            kept.remove(&sid);
        }
        kept.insert(recording.sid.clone(), recording);
    }

    fn find(&self, sid: &str) -> Option<Arc<Recording>> {
        self.lock().get(sid).cloned()
    }

    fn of_call(&self, call_sid: &str) -> Vec<Arc<Recording>> {
        let kept = self.lock();
        kept.values()
            .filter(|recording| recording.call_sid == call_sid)
            .cloned()
            .collect()
    }

    fn remove(&self, sid: &str) -> bool {
        self.lock().remove(sid).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Recording>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long after a call its recording is told.
const TOLD_AFTER: Duration = Duration::from_secs(3);
const TOLD_AFTER_AT_LEAST: Duration = Duration::from_millis(50);

/// Keeps what was recorded of a call that is over, and tells the dialer a little later.
pub fn finish(simulation: &Arc<Simulation>, call: &Call) {
    let (Some(order), Some(tape)) = (call.order.recording.clone(), call.take_tape()) else {
        return;
    };
    let now = simulation.now();
    let late = Duration::from_millis(simulation.faults().recording_late_ms);
    let recording = Arc::new(Recording {
        sid: simulation.new_sid("RE"),
        call_sid: call.sid.clone(),
        account_sid: call.account_sid.clone(),
        is_dual: order.is_dual,
        length: tape.began.elapsed(),
        created_at: now,
        ready_at: now + late,
        tape,
    });
    let told = simulation.clone();
    simulation.spawn(async move {
        tokio::time::sleep(told.pace.shorten_to(TOLD_AFTER, TOLD_AFTER_AT_LEAST)).await;
        told.recordings.keep(recording.clone());
        if let Some(target) = order.callback {
            notify(&told, target, fields(&told, &recording));
        }
    });
}

fn fields(simulation: &Simulation, recording: &Recording) -> Vec<(String, String)> {
    let url = format!(
        "http://{}/{API_VERSION}/Accounts/{}/Recordings/{}",
        simulation.address, recording.account_sid, recording.sid
    );
    vec![
        field("AccountSid", &recording.account_sid),
        field("CallSid", &recording.call_sid),
        field("RecordingSid", &recording.sid),
        field("RecordingUrl", &url),
        field("RecordingStatus", "completed"),
        field("RecordingDuration", &recording.length.as_secs().to_string()),
        field(
            "RecordingChannels",
            if recording.is_dual { "2" } else { "1" },
        ),
        field("RecordingSource", "OutboundAPI"),
        field("RecordingTrack", "both"),
    ]
}

/// `GET Calls/{sid}/Recordings.json`.
pub async fn list_of_call(
    State(simulation): State<Arc<Simulation>>,
    Path((_, call)): Path<(String, String)>,
) -> Json<Value> {
    let found = simulation.recordings.of_call(&call);
    let recordings: Vec<Value> = found.iter().map(|it| it.to_json()).collect();
    Json(json!({"recordings": recordings, "page": 0, "page_size": 50, "next_page_uri": null}))
}

/// `GET Recordings/{sid}.json`, `.wav` or without an ending, which is the file, too.
pub async fn show(
    State(simulation): State<Arc<Simulation>>,
    Path((_, file)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (sid, ending) = file.split_once('.').unwrap_or((&file, "wav"));
    let recording = simulation
        .recordings
        .find(sid)
        .ok_or_else(|| Refusal::not_found(uri.path()))?;
    match ending {
        "json" => Ok(Json(recording.to_json()).into_response()),
        "wav" if recording.ready_at <= simulation.now() => {
            let wants_two = query.get("RequestedChannels").is_some_and(|n| n == "2");
            let file = recording.file(recording.is_dual && wants_two);
            let knows_ranges = simulation.faults().recording_in_parts;
            let asked = headers.get(RANGE).filter(|_| knows_ranges);
            Ok(sound(file, asked.and_then(|range| range.to_str().ok())))
        }
        _ => Err(Refusal::not_found(uri.path())),
    }
}

fn sound(file: Vec<u8>, range: Option<&str>) -> Response {
    let kind = [(CONTENT_TYPE, "audio/x-wav")];
    let Some((from, to)) = range.and_then(|range| part(range, file.len())) else {
        return (kind, file).into_response();
    };
    let place = [(CONTENT_RANGE, format!("bytes {from}-{to}/{}", file.len()))];
    let bytes = file[from..=to].to_vec();
    (StatusCode::PARTIAL_CONTENT, kind, place, bytes).into_response()
}

/// `bytes=1-9` or `bytes=1-`; other forms are answered with the whole.
fn part(range: &str, total: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = total.checked_sub(1)?;
    let from: usize = from.parse().ok()?;
    let to = to.parse().unwrap_or(last).min(last);
    (from <= to).then_some((from, to))
}

/// `DELETE Recordings/{sid}.json`.
pub async fn delete(
    State(simulation): State<Arc<Simulation>>,
    Path((_, file)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
) -> Result<StatusCode, Refusal> {
    let sid = file.strip_suffix(".json").unwrap_or(&file);
    let draw = simulation.chance.about(&["delete recording", sid]);
    if draw.happens(simulation.faults().delete_recording_fails) {
        return Err(Refusal::internal_error());
    }
    match simulation.recordings.remove(sid) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::not_found(uri.path())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_has_silence_where_nobody_spoke_and_ends_where_it_was_cut() {
        let mut track = Track::default();
        track.put(Duration::from_millis(1), &[1, 2, 3]);
        track.put(Duration::ZERO, &[4]);
        assert_eq!(track.0[..8], [SILENCE; 8]);
        assert_eq!(track.0[8..], [1, 2, 3, 4]);
        track.cut(Duration::from_millis(1));
        assert_eq!(track.0, [SILENCE; 8]);
    }

    #[test]
    fn a_part_of_a_file_is_found() {
        assert_eq!(part("bytes=0-3", 10), Some((0, 3)));
        assert_eq!(part("bytes=4-", 10), Some((4, 9)));
        assert_eq!(part("bytes=4-90", 10), Some((4, 9)));
        assert_eq!(part("bytes=10-", 10), None);
        assert_eq!(part("bytes=-4", 10), None);
    }
}
