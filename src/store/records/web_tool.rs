//! Tools that tenants define.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    record,
    wire::{duration_ms, text},
};
use crate::domain::web_tool::{SecretHeader, ToolName, WebMethod, WebTool};

record!(
    /// A tool that a tenant defined.
    WebToolRecord, WebTool, "WebToolShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "WebTool", rename_all = "camelCase")]
struct WebToolShape {
    #[serde(with = "text")]
    name: ToolName,
    description: String,
    #[serde(with = "method")]
    method: WebMethod,
    url: String,
    arguments: Vec<String>,
    #[serde(rename = "timeLimitMs", with = "duration_ms")]
    time_limit: Duration,
    #[serde(with = "header_option")]
    header: Option<SecretHeader>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SecretHeader", rename_all = "camelCase")]
struct SecretHeaderShape {
    name: String,
    sealed: String,
}

record!(
    /// A header whose value is nobody's to read.
    SecretHeaderRecord, SecretHeader, "SecretHeaderShape"
);

/// A header, or null.
mod header_option {
    use super::*;

    pub fn serialize<S: Serializer>(
        header: &Option<SecretHeader>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        header.clone().map(SecretHeaderRecord).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SecretHeader>, D::Error> {
        let record = Option::<SecretHeaderRecord>::deserialize(from)?;
        Ok(record.map(SecretHeader::from))
    }
}

/// Methods by their name.
mod method {
    use super::*;

    pub fn serialize<S: Serializer>(method: &WebMethod, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(method.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WebMethod, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || D::Error::custom(format!("there is no method {name:?}"));
        WebMethod::from_name(&name).ok_or_else(unknown)
    }
}
