//! Texts with `{{column}}` placeholders: what an agent is told and says first.
//!
//! Only this one form exists. A full template language would make ordinary prompts fail (`{%` and
//! `{#` are legal prose) and would give data from a list a way to run.

use std::collections::BTreeSet;

/// A text with placeholders, checked once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(String),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without its `}}`.
    #[error("the placeholder that opens at character {at} is not closed by }}}}")]
    Unclosed {
        /// Characters before the `{{`.
        at: usize,
    },
    /// Nothing between the braces.
    #[error("the placeholder at character {at} has no name")]
    Nameless {
        /// Characters before the `{{`.
        at: usize,
    },
}

impl Template {
    /// Reads a text; the names inside its braces are compared as [`field_name`] writes them.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(open) = rest.find("{{") {
            let at = source[..source.len() - rest.len() + open].chars().count();
            let inner = &rest[open + 2..];
            let close = inner.find("}}").ok_or(TemplateError::Unclosed { at })?;
            let name = field_name(&inner[..close]);
            if name.is_empty() {
                return Err(TemplateError::Nameless { at });
            }
            push_literal(&mut parts, &rest[..open]);
            parts.push(Part::Placeholder(name));
            rest = &inner[close + 2..];
        }
        push_literal(&mut parts, rest);
        Ok(Self {
            source: source.to_owned(),
            parts,
        })
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names that the text refers to.
    pub fn placeholders(&self) -> BTreeSet<&str> {
        self.parts
            .iter()
            .filter_map(|part| match part {
                Part::Placeholder(name) => Some(name.as_str()),
                Part::Literal(_) => None,
            })
            .collect()
    }

    /// The text with each placeholder replaced by what `value` says; an unknown name leaves nothing.
    pub fn render<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.as_str(),
                Part::Placeholder(name) => value(name).unwrap_or_default(),
            })
            .collect()
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Literal(text.to_owned()));
    }
}

/// How a column header is written inside braces: lower case, with `_` for everything between words.
///
/// `"First Name"`, `first-name` and `FIRST_NAME` are one name.
pub fn field_name(header: &str) -> String {
    let mut name = String::with_capacity(header.len());
    for c in header.trim().chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.truncate(name.trim_end_matches('_').len());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_and_prose_is_kept() {
        let text = Template::parse("Hi {{ First Name }}, {% is fine %} and {so is this}").unwrap();
        assert_eq!(
            text.placeholders().into_iter().collect::<Vec<_>>(),
            ["first_name"]
        );
        let said = text.render(|name| (name == "first_name").then_some("Ann"));
        assert_eq!(said, "Hi Ann, {% is fine %} and {so is this}");
    }

    #[test]
    fn a_value_is_never_read_as_a_template() {
        let text = Template::parse("{{a}}{{b}}").unwrap();
        assert_eq!(
            text.render(|name| Some(if name == "a" { "{{b}}" } else { "x" })),
            "{{b}}x"
        );
    }

    #[test]
    fn an_open_or_empty_placeholder_is_refused() {
        assert_eq!(
            Template::parse("é {{name"),
            Err(TemplateError::Unclosed { at: 2 })
        );
        assert_eq!(
            Template::parse("{{ - }}"),
            Err(TemplateError::Nameless { at: 0 })
        );
    }

    #[test]
    fn headers_become_field_names() {
        assert_eq!(field_name("  Phone Number "), "phone_number");
        assert_eq!(field_name("Loan-amount (USD)"), "loan_amount_usd");
        assert_eq!(field_name("Größe"), "größe");
        assert_eq!(field_name("--"), "");
    }
}
