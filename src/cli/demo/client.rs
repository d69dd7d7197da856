//! The demo as a client of its own server: nothing here that a stranger could not do.

use std::{collections::BTreeMap, net::SocketAddr};

use reqwest::multipart;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    cli::http::{answer, sign_in},
    domain::Timestamp,
};

/// A signed-in client.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// What the demo reads of a campaign.
#[derive(Debug, Deserialize)]
pub(super) struct Campaign {
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) progress: Progress,
}

/// What the demo reads of a campaign's progress.
#[derive(Debug, Deserialize)]
pub(super) struct Progress {
    pub(super) enrolled: u64,
    pub(super) retrying: u64,
    pub(super) open: u64,
    pub(super) connected: u64,
    pub(super) finished: u64,
    pub(super) calls: u64,
    pub(super) outcomes: BTreeMap<String, u64>,
}

/// What the demo reads of a call.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) dial_at: Timestamp,
    pub(super) state: String,
    pub(super) sid: Option<String>,
}

/// What the demo reads of a contact.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Contact {
    pub(super) phone: String,
    pub(super) state: String,
}

#[derive(Debug, Deserialize)]
struct List<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl Client {
    pub(super) async fn sign_in(
        address: SocketAddr,
        email: &str,
        password: &str,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::new();
        let base = format!("http://{address}/api/v1");
        let token = sign_in(&http, &base, email, password).await?;
        Ok(Self { http, base, token })
    }

    /// Uploads a list, starts a campaign with it, and gives the campaign's id.
    pub(super) async fn start_campaign(
        &self,
        csv: String,
        settings: &serde_json::Value,
    ) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Started {
            campaign: Id,
        }
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let form = multipart::Form::new()
            .text("name", "Autumn renewal (demo)")
            .text(
                "prompt",
                "You call {{first_name}} from {{city}} about the {{plan}} plan, which renews on \
                 {{renewal_date}}. Be brief and kind.",
            )
            .text(
                "firstMessage",
                "Hello {{first_name}}, do you have a minute about your {{plan}} plan?",
            )
            .text("settings", settings.to_string())
            .part("file", multipart::Part::text(csv).file_name("people.csv"));
        let url = format!("{}/campaigns/start-from-csv", self.base);
        let started: Started =
            answer(self.http.post(url).multipart(form).bearer_auth(&self.token)).await?;
        Ok(started.campaign.id)
    }

    pub(super) async fn campaign(&self, id: &str) -> anyhow::Result<Campaign> {
        self.get(&format!("/campaigns/{id}")).await
    }

    pub(super) async fn calls(&self, campaign: &str) -> anyhow::Result<Vec<Call>> {
        self.all(&format!("/campaigns/{campaign}/calls")).await
    }

    pub(super) async fn contacts(&self, campaign: &str) -> anyhow::Result<Vec<Contact>> {
        self.all(&format!("/campaigns/{campaign}/contacts")).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        answer(
            self.http
                .get(format!("{}{path}", self.base))
                .bearer_auth(&self.token),
        )
        .await
    }

    async fn all<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: List<T> = self.get(&format!("{path}?limit=500{cursor}")).await?;
            items.extend(page.items);
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }
}
