//! The sound of a conversation, as its vendor recorded it and keeps it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
    redirect,
};

use super::BoxError;
use crate::domain::ids::ConversationId;

/// How long a vendor may take to begin, and somebody to listen to all of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How often a request for a recording may be sent on.
const MAX_REDIRECTS: usize = 3;

/// The place of the conversation's id in a path.
const ID: &str = "{id}";

/// A vendor that records its conversations.
#[async_trait]
pub trait ConversationSound: Send + Sync + 'static {
    /// Opens the recording of a conversation; none while the vendor has none, or no longer.
    async fn open(&self, conversation: &ConversationId) -> Result<Option<Sound>, BoxError>;
}

/// A recording as it comes from the vendor.
pub struct Sound {
    /// The media type of the bytes.
    pub content_type: String,
    /// How many bytes there are; none when the vendor does not say.
    pub total: Option<u64>,
    /// The bytes, in order.
    pub bytes: BoxStream<'static, Result<Bytes, BoxError>>,
}

/// A vendor that gives recordings for a key, at an address with the conversation's id in it.
pub struct SoundByHttp {
    client: Client,
    base: Url,
    path: &'static [&'static str],
    key: (HeaderName, HeaderValue),
}

impl SoundByHttp {
    /// `{id}` in `path` stands for the conversation. The key goes to no other host than `base`'s.
    pub(super) fn new(
        base: Url,
        path: &'static [&'static str],
        (name, mut key): (HeaderName, HeaderValue),
    ) -> reqwest::Result<Self> {
        key.set_sensitive(true);
        // Only this header is left out by the client when it is sent on to another host.
        let redirects = match name {
            AUTHORIZATION => redirect::Policy::limited(MAX_REDIRECTS),
            _ => redirect::Policy::none(),
        };
        let client = Client::builder()
            .user_agent(concat!("dialtone/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(LISTEN_TIMEOUT)
            .redirect(redirects)
            .build()?;
        Ok(Self {
            client,
            base,
            path,
            key: (name, key),
        })
    }

    fn url(&self, conversation: &ConversationId) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let id = conversation.as_str();
            let path = self
                .path
                .iter()
                .map(|part| if *part == ID { id } else { part });
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

#[async_trait]
impl ConversationSound for SoundByHttp {
    async fn open(&self, conversation: &ConversationId) -> Result<Option<Sound>, BoxError> {
        let (name, key) = &self.key;
        let request = self.client.get(self.url(conversation)).header(name, key);
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(Some(sound_of(response)));
        }
        let is_ours = matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
        );
        // Vendors refuse what is not ready in several ways.
        if status.is_client_error() && !is_ours {
            return Ok(None);
        }
        Err(format!("the vendor answered {status} when asked for a recording").into())
    }
}

fn sound_of(response: Response) -> Sound {
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    Sound {
        content_type: content_type
            .unwrap_or("application/octet-stream")
            .to_owned(),
        total: response.content_length(),
        bytes: stream::try_unfold(response, next_bytes).boxed(),
    }
}

async fn next_bytes(mut response: Response) -> Result<Option<(Bytes, Response)>, BoxError> {
    let bytes = response
        .chunk()
        .await
        .map_err(reqwest::Error::without_url)?;
    Ok(bytes.map(|bytes| (bytes, response)))
}
