//! A call's recordings, from the carrier or the agent's vendor through to whoever may listen.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
        },
    },
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, future, stream::BoxStream};
use tracing::warn;

use super::{
    ApiState,
    auth::Caller,
    calls,
    error::{ApiError, ApiResult},
    extract::Id,
};
use crate::{
    agents::sound::ConversationSound,
    domain::ids::{AgentVendor, AttemptId},
};

/// Where the vendors of agents keep what they recorded.
pub type ConversationSounds = BTreeMap<AgentVendor, Arc<dyn ConversationSound>>;

/// What comes from whoever keeps a recording, or why it ended.
type Part = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The recording of a call, both sides, as a sound file. `Range` gives a part of it.
#[utoipa::path(get, path = "/calls/{id}/recording", tag = "calls", params(("id" = String, Path)),
    responses((status = 200, description = "The whole file", content_type = "audio/x-wav"),
        (status = 206, description = "The part that was asked for", content_type = "audio/x-wav"),
        (status = 404), (status = 409), (status = 410), (status = 416), (status = 502)))]
pub async fn get(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<AttemptId>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let asked = asked_of(&headers);
    let words = asked.map(|asked| asked.to_string());
    let audio = state
        .engine
        .recording(caller.tenant, id, words.as_deref())
        .await?;
    answer(
        asked,
        Recorded {
            content_type: audio.content_type,
            total: audio.total,
            range: audio.range,
            bytes: audio.bytes,
        },
    )
}

/// The agent vendor's own recording of a call's conversation, in the vendor's format.
///
/// Only what the vendor was set to record, for as long as it keeps it. 404 where no agent had joined, 409
/// `notYet` while the vendor has none.
#[utoipa::path(get, path = "/calls/{id}/agent-recording", tag = "calls", params(("id" = String, Path)),
    responses((status = 200, description = "The whole file", content_type = "audio/mpeg"),
        (status = 206, description = "The part that was asked for", content_type = "audio/mpeg"),
        (status = 404), (status = 409), (status = 416), (status = 502)))]
pub async fn of_agent(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<AttemptId>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let facts = calls::load(&state, caller, id).await?.attempt.facts;
    let (Some(vendor), Some(conversation)) = (facts.vendor, facts.conversation) else {
        return Err(ApiError::not_found("conversation"));
    };
    let sounds = state.sounds.get(&vendor);
    let sounds = sounds.ok_or_else(|| ApiError::not_found("vendor of agents"))?;
    let sound = sounds.open(&conversation).await.map_err(|error| {
        warn!(%error, %vendor, "recording of a conversation not had");
        let detail = "the agent's vendor does not give the recording at the moment";
        ApiError::new(StatusCode::BAD_GATEWAY, "agentVendor", detail)
    })?;
    let sound = sound.ok_or_else(|| {
        let detail = "the agent's vendor has the recording not ready yet, no longer, or made none";
        ApiError::new(StatusCode::CONFLICT, "notYet", detail)
    })?;
    answer(
        asked_of(&headers),
        Recorded {
            content_type: sound.content_type,
            total: sound.total,
            range: None,
            bytes: sound.bytes,
        },
    )
}

fn asked_of(headers: &HeaderMap) -> Option<Asked> {
    let asked = headers.get(RANGE).and_then(|range| range.to_str().ok());
    asked.and_then(Asked::parse)
}

/// A recording as whoever keeps it gives it.
struct Recorded {
    content_type: String,
    /// How many bytes the whole has.
    total: Option<u64>,
    /// Which bytes these are, from and to inclusively; none for all.
    range: Option<(u64, u64)>,
    bytes: BoxStream<'static, Part>,
}

/// The recording, or the part of it that was asked for.
fn answer(asked: Option<Asked>, audio: Recorded) -> ApiResult<Response> {
    let usual = [
        (CONTENT_TYPE, audio.content_type),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    let (range, bytes) = match (audio.range, asked, audio.total) {
        (Some((from, to)), ..) => (from..=to, audio.bytes),
        // All of it was given: the part is cut out here, so that players can seek.
        (None, Some(asked), Some(total)) => {
            let range = asked.within(total).ok_or_else(|| outside(total))?;
            (range.clone(), cut(audio.bytes, range).boxed())
        }
        (None, _, total) => {
            let mut response = (usual, Body::from_stream(audio.bytes)).into_response();
            if let Some(total) = total {
                let length = HeaderValue::from(total);
                response.headers_mut().insert(CONTENT_LENGTH, length);
            }
            return Ok(response);
        }
    };
    let of = audio
        .total
        .map_or("*".to_owned(), |total| total.to_string());
    let place = [
        (
            CONTENT_RANGE,
            format!("bytes {}-{}/{of}", range.start(), range.end()),
        ),
        (
            CONTENT_LENGTH,
            (range.end() - range.start() + 1).to_string(),
        ),
    ];
    let body = Body::from_stream(bytes);
    Ok((StatusCode::PARTIAL_CONTENT, usual, place, body).into_response())
}

fn outside(total: u64) -> ApiError {
    ApiError::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "outOfRange",
        format!("the recording has {total} bytes"),
    )
}

/// The one range of bytes that a reader asked for. Several at once are answered with everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

impl Asked {
    /// Reads `bytes=0-99`, `bytes=100-` or `bytes=-100`.
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
        match (from, to) {
            ("", last) => last.parse().ok().map(Self::Last),
            (from, "") => from.parse().ok().map(Self::From),
            (from, to) => {
                let (from, to) = (from.parse().ok()?, to.parse().ok()?);
                (from <= to).then_some(Self::FromTo(from, to))
            }
        }
    }

    /// Which of `total` bytes these are; none when it is none of them.
    fn within(self, total: u64) -> Option<RangeInclusive<u64>> {
        let last = total.checked_sub(1)?;
        let range = match self {
            Self::From(from) => from..=last,
            Self::FromTo(from, to) => from..=to.min(last),
            Self::Last(n) => total.saturating_sub(n)..=last,
        };
        let is_empty = range.is_empty() || self == Self::Last(0);
        (!is_empty).then_some(range)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(from) => write!(f, "bytes={from}-"),
            Self::FromTo(from, to) => write!(f, "bytes={from}-{to}"),
            Self::Last(n) => write!(f, "bytes=-{n}"),
        }
    }
}

/// The bytes of `range` out of all.
fn cut(
    all: impl Stream<Item = Part> + Send + 'static,
    range: RangeInclusive<u64>,
) -> impl Stream<Item = Part> + Send + 'static {
    let (first, last) = range.into_inner();
    let mut at = 0;
    all.map_ok(move |bytes| {
        let begins = at;
        at += bytes.len() as u64;
        let inside = |position: u64| {
            let offset = position.saturating_sub(begins).min(bytes.len() as u64);
            usize::try_from(offset).unwrap_or(bytes.len())
        };
        (bytes.slice(inside(first)..inside(last + 1)), at > last)
    })
    .scan(false, |is_over, part| {
        let was_over = std::mem::replace(is_over, matches!(part, Ok((_, true)) | Err(_)));
        future::ready((!was_over).then_some(part.map(|(bytes, _)| bytes)))
    })
    .try_filter(|bytes| future::ready(!bytes.is_empty()))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_range_of_bytes_is_read() {
        for (text, asked) in [
            ("bytes=0-99", Some(Asked::FromTo(0, 99))),
            ("bytes=100-", Some(Asked::From(100))),
            ("bytes=-100", Some(Asked::Last(100))),
            ("bytes=5-4", None),
            ("bytes=0-1,5-6", None),
            ("seconds=0-1", None),
            ("bytes=-", None),
        ] {
            assert_eq!(Asked::parse(text), asked, "{text}");
            if let Some(asked) = asked {
                assert_eq!(asked.to_string(), text);
            }
        }
    }

    #[test]
    fn a_range_ends_where_the_file_ends() {
        assert_eq!(Asked::From(90).within(100), Some(90..=99));
        assert_eq!(Asked::FromTo(90, 500).within(100), Some(90..=99));
        assert_eq!(Asked::Last(500).within(100), Some(0..=99));
        assert_eq!(Asked::Last(1).within(100), Some(99..=99));
        for asked in [Asked::From(100), Asked::FromTo(100, 101), Asked::Last(0)] {
            assert_eq!(asked.within(100), None, "{asked}");
        }
        assert_eq!(Asked::From(0).within(0), None);
    }

    proptest! {
        #[test]
        fn what_is_cut_out_is_that_part(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..10),
            from in 0_u64..100, length in 1_u64..100,
        ) {
            let all = parts.concat();
            let asked = Asked::FromTo(from, from + length - 1);
            let Some(range) = asked.within(all.len() as u64) else {
                prop_assume!(false);
                unreachable!();
            };
            let expected = &all[*range.start() as usize..=*range.end() as usize];
            let parts = stream::iter(parts.into_iter().map(|part| Ok(Bytes::from(part))));
            let found: Vec<Bytes> = futures_util::FutureExt::now_or_never(
                cut(parts, range).try_collect(),
            )
            .unwrap()
            .unwrap();
            prop_assert_eq!(found.concat(), expected);
        }
    }
}
