//! A client of the server: HTTP, with or without a token.

use dialtone::telephony::twilio::signature;
use reqwest::{Method, RequestBuilder, StatusCode, header, multipart};
use serde_json::{Value, json};

/// Someone who speaks to the server.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    /// The API's address.
    base: String,
    pub token: String,
}

/// What the server said.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub text: String,
    pub body: Value,
    pub content_type: String,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text);
        self.body
    }

    /// The problem document of a refusal with this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.body["code"], code, "{}", self.text);
        assert_eq!(self.content_type, "application/problem+json");
        self.body
    }
}

impl Client {
    /// Signs in at the server under `url`.
    pub async fn sign_in(url: &str, email: &str, password: &str) -> Self {
        let mut client = Self::stranger(url);
        let login = json!({"email": email, "password": password});
        let session = client.post("/auth/login", &login).await.ok();
        client.token = session["token"].as_str().unwrap().to_owned();
        client
    }

    /// Somebody without a token.
    pub fn stranger(url: &str) -> Self {
        Self {
            // No connection is used twice: one on which a body was refused is closed by the server.
            http: reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
            base: format!("{url}/api/v1"),
            token: String::new(),
        }
    }

    /// The same client with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Posts nothing, as to `/campaigns/{id}/pause`.
    pub async fn ask(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        self.finish(request).await
    }

    async fn finish(&self, mut request: RequestBuilder) -> Answer {
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        answer(request).await
    }

    /// Every item of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}?limit=500{cursor}")).await.ok();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Uploads a list as a campaign with quick pacing; `settings` and `parts` come on top.
    pub async fn upload(&self, csv: &str, settings: &Value, parts: &[(&str, &str)]) -> Answer {
        let mut all = json!({"maxConcurrentCalls": 50, "callsPerSecond": 50.0});
        for (name, value) in settings.as_object().unwrap() {
            all[name] = value.clone();
        }
        let usual = [
            ("name", "Autumn"),
            ("prompt", "You call {{name}} from {{city}}."),
            ("firstMessage", "Hello {{name}}, how is {{city}}?"),
            ("settings", &all.to_string()),
        ];
        let mut form = multipart::Form::new();
        for (name, text) in usual {
            if !parts.iter().any(|(other, _)| *other == name) {
                form = form.text(name.to_owned(), text.to_owned());
            }
        }
        for (name, text) in parts {
            form = form.text((*name).to_owned(), (*text).to_owned());
        }
        let file = multipart::Part::text(csv.to_owned()).file_name("people.csv");
        self.post_form(form.part("file", file)).await
    }

    /// Posts a form to `start-from-csv`.
    pub async fn post_form(&self, form: multipart::Form) -> Answer {
        let url = format!("{}/campaigns/start-from-csv", self.base);
        self.finish(self.http.post(url).multipart(form)).await
    }

    /// Posts a CSV as it is.
    pub async fn post_csv(&self, path: &str, csv: &str) -> Answer {
        let request = self.http.post(format!("{}{path}", self.base));
        let request = request.header(header::CONTENT_TYPE, "text/csv");
        self.finish(request.body(csv.to_owned())).await
    }

    /// Posts a CSV as the only part of a form.
    pub async fn post_csv_form(&self, path: &str, part: &str, csv: &str) -> Answer {
        let file = multipart::Part::text(csv.to_owned()).file_name("people.csv");
        let form = multipart::Form::new().part(part.to_owned(), file);
        let request = self.http.post(format!("{}{path}", self.base));
        self.finish(request.multipart(form)).await
    }

    /// Posts JSON as it is to `url`, with these headers and no token.
    pub async fn post_raw(&self, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = self.http.post(url).body(body.to_owned());
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let headers = headers.iter();
        let request = headers.fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        answer(request).await
    }

    /// Posts fields to `url` and `path` with the signature that `auth_token` makes.
    pub async fn form(
        &self,
        url: &str,
        path: &str,
        fields: &[(&str, &str)],
        auth_token: &str,
    ) -> Answer {
        let url = format!("{url}{path}");
        let pairs: Vec<(String, String)> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let signature = signature::sign(auth_token, &url, &pairs);
        let request = self
            .http
            .post(url)
            .form(fields)
            .header("x-twilio-signature", signature);
        answer(request).await
    }
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let text = response.text().await.unwrap();
    Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
        content_type,
    }
}
