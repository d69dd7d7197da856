//! Form fields, and the addresses of the dialer that are named in them. Pure.

use reqwest::Url;

use super::error::Refusal;

/// Decoded form fields in the order they came; keys may repeat.
#[derive(Debug, Clone, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The value of `name`, unless it is absent or blank.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Every value of `name`, blank ones too.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Booleans are written in any case.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The number in `name`, or a refusal with the code `refusal`.
    pub fn number(&self, name: &str, refusal: u32) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let parsed = value.parse().map_err(|_| {
            Refusal::bad_request(refusal, format!("{name} must be a number, not {value}"))
        })?;
        Ok(Some(parsed))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// An address of the dialer and how it wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub url: String,
    pub method: Method,
}

/// The address in `url_name`, if there is one, with the method in `method_name`.
pub fn target(
    fields: &Fields,
    url_name: &str,
    method_name: &str,
    refusal: u32,
) -> Result<Option<Target>, Refusal> {
    let Some(url) = fields.get(url_name) else {
        return Ok(None);
    };
    if !is_callable(url) {
        let message = format!("{url_name} is not a valid URL: {url}");
        return Err(Refusal::bad_request(refusal, message));
    }
    let method = method(fields.get(method_name))
        .ok_or_else(|| Refusal::bad_request(21209, format!("{method_name} must be GET or POST")))?;
    Ok(Some(Target {
        url: url.to_owned(),
        method,
    }))
}

/// `None` for anything but GET and POST; absent means POST.
pub fn method(value: Option<&str>) -> Option<Method> {
    match value {
        None => Some(Method::Post),
        Some(value) if value.eq_ignore_ascii_case("post") => Some(Method::Post),
        Some(value) if value.eq_ignore_ascii_case("get") => Some(Method::Get),
        Some(_) => None,
    }
}

/// Absolute http(s), and no underscore in the host, which the carrier refuses.
fn is_callable(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.contains('_'))
    })
}
