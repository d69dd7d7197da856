//! The client's first message: what it may change, and whether all variables are there. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::sim::config::AgentSettings;

/// The conversation as it will be held.
#[derive(Debug, Clone, PartialEq)]
pub struct Initiation {
    pub prompt: String,
    pub first_message: String,
    pub client_events: BTreeSet<String>,
    pub is_text_only: bool,
    pub user_id: Option<String>,
    pub dynamic_variables: Map<String, Value>,
    /// The message as it came, for the record.
    pub client_data: Value,
}

/// A first message that ends the conversation (close 1008).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadInitiation {
    pub error_type: &'static str,
    pub reason: String,
}

impl Initiation {
    /// Applies `message` (an empty object for none) to the agent's own settings.
    pub fn accept(message: Value, agent: &AgentSettings) -> Result<Self, BadInitiation> {
        let overrides = &message["conversation_config_override"];
        check_overrides(overrides, agent)?;
        let dynamic_variables = dynamic_variables(&message)?;
        let prompt = overrides["agent"]["prompt"]["prompt"]
            .as_str()
            .unwrap_or(&agent.prompt);
        let first_message = overrides["agent"]["first_message"]
            .as_str()
            .unwrap_or(&agent.first_message);
        let client_events = match overrides["conversation"]["client_events"].as_array() {
            Some(names) => names
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            None => agent.client_events.clone(),
        };
        Ok(Self {
            prompt: fill_in(prompt, &dynamic_variables, "prompt")?,
            first_message: fill_in(first_message, &dynamic_variables, "first message")?,
            client_events,
            is_text_only: is_text_only(overrides),
            user_id: message["user_id"].as_str().map(str::to_owned),
            dynamic_variables,
            client_data: message,
        })
    }
}

/// The official Python client writes `text_only` one level too high; the service takes both.
fn is_text_only(overrides: &Value) -> bool {
    [
        &overrides["text_only"],
        &overrides["conversation"]["text_only"],
    ]
    .iter()
    .any(|flag| flag.as_bool() == Some(true))
}

fn check_overrides(overrides: &Value, agent: &AgentSettings) -> Result<(), BadInitiation> {
    let mut paths = Vec::new();
    collect_paths(overrides, "", &mut paths);
    for path in paths {
        // Choosing events is the client's own business and needs no permission.
        let is_free = matches!(path.as_str(), "text_only" | "conversation.client_events");
        if !is_free && !agent.allowed_overrides.contains(&path) {
            let field = path.rsplit('.').next().unwrap_or(&path);
            return Err(BadInitiation {
                error_type: "override_error",
                reason: format!("Override for field '{field}' is not allowed by config."),
            });
        }
    }
    Ok(())
}

/// The dotted paths of all values that are set; empty objects and nulls change nothing.
fn collect_paths(value: &Value, prefix: &str, paths: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if prefix.is_empty() { "" } else { "." };
                collect_paths(value, &format!("{prefix}{dot}{name}"), paths);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            paths.push(prefix.to_owned());
        }
    }
}

fn dynamic_variables(message: &Value) -> Result<Map<String, Value>, BadInitiation> {
    let variables = match &message["dynamic_variables"] {
        Value::Null => return Ok(Map::new()),
        Value::Object(variables) => variables,
        other => {
            return Err(bad_value(&format!(
                "dynamic_variables must be an object, not {other}"
            )));
        }
    };
    for (name, value) in variables {
        if !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
            return Err(bad_value(&format!(
                "dynamic variable '{name}' must be a plain value"
            )));
        }
    }
    Ok(variables.clone())
}

fn bad_value(reason: &str) -> BadInitiation {
    BadInitiation {
        error_type: "value_error",
        reason: reason.to_owned(),
    }
}

/// `template` with its `{{variables}}` replaced; all that are missing are named together.
fn fill_in(
    template: &str,
    variables: &Map<String, Value>,
    place: &str,
) -> Result<String, BadInitiation> {
    let mut filled = String::with_capacity(template.len());
    let mut missing = BTreeSet::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        filled.push_str(before);
        let name = name.trim();
        match variables.get(name) {
            Some(Value::String(text)) => filled.push_str(text),
            Some(value) => filled.push_str(&value.to_string()),
            None if name.starts_with("system__") => {}
            None => {
                missing.insert(format!("'{name}'"));
            }
        }
        rest = after;
    }
    filled.push_str(rest);
    if missing.is_empty() {
        return Ok(filled);
    }
    let names: Vec<_> = missing.into_iter().collect();
    Err(BadInitiation {
        error_type: "missing_dynamic_variable",
        reason: format!(
            "Missing required dynamic variables in {place}: {{{}}}",
            names.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accept(message: Value) -> Result<Initiation, BadInitiation> {
        Initiation::accept(message, &AgentSettings::default())
    }

    #[test]
    fn permitted_overrides_and_variables_take_effect() {
        let initiation = accept(json!({
            "conversation_config_override": {
                "agent": {"first_message": "Hi {{ name }}, {{n}} things", "prompt": {"prompt": "Sell."}},
                "tts": {},
            },
            "dynamic_variables": {"name": "Ann", "n": 2},
            "user_id": "c-1",
        }))
        .unwrap();
        assert_eq!(initiation.first_message, "Hi Ann, 2 things");
        assert_eq!(initiation.prompt, "Sell.");
        assert_eq!(initiation.user_id.as_deref(), Some("c-1"));
    }

    #[test]
    fn a_missing_variable_ends_the_conversation() {
        let message = json!({"conversation_config_override":
            {"agent": {"first_message": "Hi {{name}} of {{company}} {{system__time}}"}}});
        let refusal = accept(message).unwrap_err();
        assert_eq!(refusal.error_type, "missing_dynamic_variable");
        let reason = "Missing required dynamic variables in first message: {'company', 'name'}";
        assert_eq!(refusal.reason, reason);
    }

    #[test]
    fn a_forbidden_override_ends_the_conversation_but_an_empty_one_is_none() {
        let message = json!({"conversation_config_override": {"tts": {"stability": 0.5}}});
        let refusal = accept(message).unwrap_err();
        assert_eq!(
            refusal.reason,
            "Override for field 'stability' is not allowed by config."
        );
        let empty = json!({"conversation_config_override": {"tts": {}, "agent": {"prompt": null}}});
        assert!(accept(empty).is_ok());
    }

    #[test]
    fn variables_hold_plain_values_only() {
        let message = json!({"dynamic_variables": {"list": [1]}});
        assert_eq!(accept(message).unwrap_err().error_type, "value_error");
    }

    #[test]
    fn text_mode_is_recognised_at_both_places() {
        assert!(
            accept(json!({"conversation_config_override": {"text_only": true}}))
                .unwrap()
                .is_text_only
        );
        let nested = json!({"conversation_config_override": {"conversation": {"text_only": true}}});
        assert!(accept(nested).unwrap().is_text_only);
    }
}
