//! Tools that a tenant gives its agents: each use is a request to an address of the tenant's.

use std::{fmt, str::FromStr, time::Duration};

/// A tool that a tenant defined, for the agents of all its campaigns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTool {
    /// The name under which agents have it.
    pub name: ToolName,
    /// What it is for, in words for people.
    pub description: String,
    /// How it is asked.
    pub method: WebMethod,
    /// Where: an absolute address, already checked.
    pub url: String,
    /// Which of the agent's arguments are sent, by name; the others are left out.
    pub arguments: Vec<String>,
    /// How long the agent waits for an answer, at most [`WebTool::LONGEST`].
    pub time_limit: Duration,
    /// A header by which the other side knows who asks.
    pub header: Option<SecretHeader>,
}

impl WebTool {
    /// Someone on the phone does not wait longer in silence.
    pub const LONGEST: Duration = Duration::from_secs(10);

    /// The time-out of a tool that names none.
    pub const USUAL: Duration = Duration::from_secs(5);

    /// What is sent beside the agent's arguments: the tool's name, and whom and what it is about.
    pub const OURS: [&str; 4] = ["tool", "callId", "campaignId", "contactId"];
}

/// The name of a tool, as vendors of agents allow it: 1 to 64 letters, digits, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolName(String);

/// Why a text is no tool's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tool's name has 1 to 64 letters, digits, _ and -")]
pub struct ToolNameError;

impl ToolName {
    /// As agents call it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ToolName {
    type Err = ToolNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_known);
        fits.then(|| Self(text.to_owned())).ok_or(ToolNameError)
    }
}

/// How a tool's address is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebMethod {
    /// With everything in the query.
    Get,
    /// With a JSON body.
    Post,
    /// With a JSON body.
    Put,
    /// With a JSON body.
    Patch,
}

impl WebMethod {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Get, Self::Post, Self::Put, Self::Patch];

    /// As HTTP writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }

    /// The method of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// A header whose value is nobody's to read.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHeader {
    /// Such as `Authorization`.
    pub name: String,
    /// Its value, encrypted.
    pub sealed: String,
}

impl fmt::Debug for SecretHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretHeader")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_name_is_what_vendors_take() {
        for name in ["a", "lookup_order", "Lookup-2", &"x".repeat(64)] {
            assert_eq!(name.parse::<ToolName>().unwrap().as_str(), name);
        }
        for wrong in ["", "look up", "a.b", "a/b", "é", &"x".repeat(65)] {
            assert_eq!(wrong.parse::<ToolName>(), Err(ToolNameError), "{wrong}");
        }
    }

    #[test]
    fn methods_go_by_their_names() {
        for method in WebMethod::ALL {
            assert_eq!(WebMethod::from_name(method.name()), Some(method));
        }
        assert_eq!(WebMethod::from_name("DELETE"), None);
    }

    #[test]
    fn what_is_sealed_is_not_printed() {
        let header = SecretHeader {
            name: "Authorization".to_owned(),
            sealed: "v1.abc".to_owned(),
        };
        assert!(!format!("{header:?}").contains("abc"));
    }
}
