//! The upload form: its parts in any order, the list written to disk as it comes.

use std::{collections::BTreeMap, fs::File};

use axum::{
    extract::{
        Multipart,
        multipart::{Field, MultipartError},
    },
    http::StatusCode,
};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use utoipa::ToSchema;

use crate::{
    api::{
        campaigns::NewCampaign,
        error::{ApiError, ApiResult},
        settings::SettingsBody,
    },
    import::Mapping,
};

/// The largest text part of an upload.
const MAX_TEXT: usize = 256 * 1024;

/// The parts of the form.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form in the API document; the form is read part by part"
)]
pub struct CsvForm {
    /// The list: UTF-8, with a header row.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The campaign's name.
    name: String,
    /// What the agent is to do.
    prompt: Option<String>,
    /// What the agent says first.
    #[schema(rename = "firstMessage")]
    first_message: Option<String>,
    /// JSON: {"phone": "header", "name": "header"}; also email, timeZone, consent, consentSource and
    /// consentDate.
    mapping: Option<String>,
    /// JSON: the campaign's settings.
    settings: Option<String>,
    /// `false` leaves the campaign a draft.
    start: Option<String>,
}

/// Which columns hold what.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MappingBody {
    phone: Option<String>,
    name: Option<String>,
    email: Option<String>,
    time_zone: Option<String>,
    consent: Option<String>,
    consent_source: Option<String>,
    consent_date: Option<String>,
}

/// An upload that arrived in whole.
pub(super) struct Upload {
    pub(super) file: File,
    pub(super) file_name: String,
    pub(super) new: NewCampaign,
    pub(super) mapping: Mapping,
    pub(super) start: bool,
}

/// Takes the parts of the form; the file goes to disk as it comes.
pub(super) async fn receive(mut form: Multipart) -> ApiResult<Upload> {
    let mut file = None;
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    while let Some(mut field) = form.next_field().await.map_err(broken_form)? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "file" => {
                let file_name = field.file_name().unwrap_or("list.csv").to_owned();
                file = Some((to_disk(&mut field).await?, file_name));
            }
            "name" | "prompt" | "firstMessage" | "mapping" | "settings" | "start" => {
                texts.insert(name, text_of(&mut field).await?);
            }
            _ => {
                let pointer = format!("/{name}");
                let detail = "unknown; expected file, name, prompt, firstMessage, mapping, \
                              settings and start";
                return Err(ApiError::field(&pointer, "unknown", detail));
            }
        }
    }
    let (file, file_name) =
        file.ok_or_else(|| ApiError::field("/file", "missing", "the list is missing"))?;
    let mapping: MappingBody = json_part(&texts, "mapping")?;
    let settings: SettingsBody = json_part(&texts, "settings")?;
    let start = match texts.get("start").map(String::as_str) {
        None | Some("" | "true") => true,
        Some("false") => false,
        Some(_) => return Err(ApiError::field("/start", "form", "must be true or false")),
    };
    let mut text = |name: &str| texts.remove(name).unwrap_or_default();
    let name = text("name");
    let name = if name.trim().is_empty() {
        file_name.clone()
    } else {
        name
    };
    Ok(Upload {
        file,
        file_name,
        new: NewCampaign {
            name,
            prompt: text("prompt"),
            first_message: text("firstMessage"),
            settings,
        },
        mapping: Mapping {
            phone: mapping.phone,
            name: mapping.name,
            email: mapping.email,
            time_zone: mapping.time_zone,
            consent: mapping.consent,
            consent_source: mapping.consent_source,
            consent_date: mapping.consent_date,
        },
        start,
    })
}

/// Writes a part to an unnamed file, which vanishes with its handle.
pub(super) async fn to_disk(field: &mut Field<'_>) -> ApiResult<File> {
    let file = tempfile::tempfile().map_err(no_room)?;
    let mut writer = tokio::io::BufWriter::new(tokio::fs::File::from_std(file));
    while let Some(chunk) = field.chunk().await.map_err(broken_form)? {
        writer.write_all(&chunk).await.map_err(no_room)?;
    }
    writer.flush().await.map_err(no_room)?;
    Ok(writer.into_inner().into_std().await)
}

async fn text_of(field: &mut Field<'_>) -> ApiResult<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken_form)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_TEXT {
            let name = field.name().unwrap_or_default();
            return Err(ApiError::field(
                &format!("/{name}"),
                "tooLong",
                "at most 256 KiB",
            ));
        }
    }
    String::from_utf8(bytes).map_err(|_| ApiError::invalid("a text of the form is not UTF-8"))
}

fn json_part<T: Default + serde::de::DeserializeOwned>(
    texts: &BTreeMap<String, String>,
    name: &str,
) -> ApiResult<T> {
    match texts.get(name).filter(|text| !text.trim().is_empty()) {
        None => Ok(T::default()),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| ApiError::field(&format!("/{name}"), "form", error.to_string())),
    }
}

pub(super) fn broken_form(error: MultipartError) -> ApiError {
    ApiError::new(error.status(), "brokenForm", error.body_text())
}

pub(super) fn no_room(error: std::io::Error) -> ApiError {
    tracing::error!(%error, "upload could not be written");
    let detail = "the upload could not be written to disk; nothing was changed";
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "noRoom", detail)
}
