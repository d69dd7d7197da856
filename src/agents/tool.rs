//! The tools that an agent may use during a call, and what it is told in return.
//!
//! Pure. How a vendor writes a tool's call and its answer is the vendor's dialect's business; what
//! follows from a call is nobody's here.

use serde_json::Value;

use crate::domain::web_tool::ToolName;

/// Use of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The vendor's name for this use, by which it is answered.
    pub id: String,
    /// What the agent asks for.
    pub tool: Tool,
}

/// What an agent asks for during a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tool {
    /// `do_not_call {reason?}`: the callee wants no more calls.
    DoNotCall {
        /// In the agent's or the callee's words.
        reason: Option<String>,
    },
    /// `end_call {}`: the call ends once what the agent has said was heard.
    EndCall,
    /// `set_disposition {disposition, note?}`: how the agent sees the call.
    SetDisposition {
        /// In a word or two.
        disposition: String,
        /// In a sentence.
        note: Option<String>,
    },
    /// `schedule_callback {at, note?}`: the callee wants to be called again.
    ScheduleCallback {
        /// When: not read yet.
        at: String,
        /// What about.
        note: Option<String>,
    },
    /// `transfer_to_human {}`: the callee is to be connected with a person.
    TransferToHuman,
    /// Any other: a tool that the tenant may have defined.
    Custom {
        /// As the agent called it.
        name: ToolName,
        /// What the agent says with it.
        arguments: Value,
        /// Whether somebody else may serve it, so that one which is not known here is not answered.
        is_shared: bool,
    },
}

/// What an agent is told in return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolAnswer {
    /// [`ToolCall::id`].
    pub call: String,
    /// The tool's name, as the agent called it.
    pub tool: String,
    /// What became of it, in words that the agent can say.
    pub text: String,
    /// Whether nothing came of it.
    pub is_error: bool,
}

/// Why a tool's call cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// There is no such tool here.
    #[error("the tool {0:?} is not available during a phone call")]
    Unknown(String),
    /// Something is missing without which the call says nothing.
    #[error("the tool {tool} needs {parameter} as a text of at most {longest} characters")]
    Parameter {
        /// Which tool.
        tool: &'static str,
        /// What is missing.
        parameter: &'static str,
        /// How long it may be.
        longest: usize,
    },
}

const DO_NOT_CALL: &str = "do_not_call";
const END_CALL: &str = "end_call";
const SET_DISPOSITION: &str = "set_disposition";
const SCHEDULE_CALLBACK: &str = "schedule_callback";
const TRANSFER_TO_HUMAN: &str = "transfer_to_human";

const BUILT_IN: [&str; 5] = [
    DO_NOT_CALL,
    END_CALL,
    SET_DISPOSITION,
    SCHEDULE_CALLBACK,
    TRANSFER_TO_HUMAN,
];

/// No reason and no note is worth more room in the records than this, in characters.
const LONGEST_NOTE: usize = 500;
/// The longest disposition, in characters: more is a note.
const LONGEST_DISPOSITION: usize = 60;
/// The longest time that is read, in characters.
const LONGEST_TIME: usize = 60;

impl ToolError {
    /// There is no tool of that name here.
    pub fn unknown(name: &str) -> Self {
        Self::Unknown(name.chars().take(60).collect())
    }
}

impl Tool {
    /// What an agent asks for by calling the tool of that name.
    pub fn read(name: &str, parameters: &Value) -> Result<Self, ToolError> {
        let note =
            |key| text(parameters, key).map(|text| text.chars().take(LONGEST_NOTE).collect());
        match name {
            DO_NOT_CALL => Ok(Self::DoNotCall {
                reason: note("reason"),
            }),
            END_CALL => Ok(Self::EndCall),
            SET_DISPOSITION => Ok(Self::SetDisposition {
                disposition: required(
                    SET_DISPOSITION,
                    parameters,
                    "disposition",
                    LONGEST_DISPOSITION,
                )?,
                note: note("note"),
            }),
            SCHEDULE_CALLBACK => Ok(Self::ScheduleCallback {
                at: required(SCHEDULE_CALLBACK, parameters, "at", LONGEST_TIME)?,
                note: note("note"),
            }),
            TRANSFER_TO_HUMAN => Ok(Self::TransferToHuman),
            other => match other.parse() {
                Ok(name) => Ok(Self::Custom {
                    name,
                    arguments: parameters.clone(),
                    is_shared: false,
                }),
                Err(_) => Err(ToolError::unknown(other)),
            },
        }
    }

    /// Whether a tool of that name is there without anybody defining it.
    pub fn is_built_in(name: &str) -> bool {
        BUILT_IN.contains(&name)
    }

    /// The name under which the agent has the tool.
    pub fn name(&self) -> &str {
        match self {
            Self::Custom { name, .. } => name.as_str(),
            Self::DoNotCall { .. } => DO_NOT_CALL,
            Self::EndCall => END_CALL,
            Self::SetDisposition { .. } => SET_DISPOSITION,
            Self::ScheduleCallback { .. } => SCHEDULE_CALLBACK,
            Self::TransferToHuman => TRANSFER_TO_HUMAN,
        }
    }
}

impl ToolCall {
    /// The call of the tool of that name, or what the agent is told instead.
    pub fn read(id: String, name: &str, parameters: &Value) -> Result<Self, ToolAnswer> {
        match Tool::read(name, parameters) {
            Ok(tool) => Ok(Self { id, tool }),
            Err(error) => Err(ToolAnswer {
                call: id,
                tool: name.to_owned(),
                text: error.to_string(),
                is_error: true,
            }),
        }
    }

    /// What was asked for is done.
    pub fn done(&self, text: impl Into<String>) -> ToolAnswer {
        self.answer(text.into(), false)
    }

    /// Nothing came of it.
    pub fn refused(&self, text: impl Into<String>) -> ToolAnswer {
        self.answer(text.into(), true)
    }

    fn answer(&self, text: String, is_error: bool) -> ToolAnswer {
        ToolAnswer {
            call: self.id.clone(),
            tool: self.tool.name().to_owned(),
            text,
            is_error,
        }
    }
}

/// A parameter that says something.
fn text<'p>(parameters: &'p Value, key: &str) -> Option<&'p str> {
    let text = parameters.get(key)?.as_str()?.trim();
    (!text.is_empty()).then_some(text)
}

fn required(
    tool: &'static str,
    parameters: &Value,
    parameter: &'static str,
    longest: usize,
) -> Result<String, ToolError> {
    text(parameters, parameter)
        .filter(|text| text.chars().count() <= longest)
        .map(str::to_owned)
        .ok_or(ToolError::Parameter {
            tool,
            parameter,
            longest,
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tools_are_told_by_name_and_keep_what_they_are_given() {
        let some = |text: &str| Some(text.to_owned());
        for (name, parameters, tool) in [
            (
                DO_NOT_CALL,
                json!({"reason": " never "}),
                Tool::DoNotCall {
                    reason: some("never"),
                },
            ),
            (DO_NOT_CALL, json!(null), Tool::DoNotCall { reason: None }),
            (
                DO_NOT_CALL,
                json!({"reason": 7}),
                Tool::DoNotCall { reason: None },
            ),
            (END_CALL, json!({"reason": "done"}), Tool::EndCall),
            (
                SET_DISPOSITION,
                json!({"disposition": " interested ", "note": "wants a brochure"}),
                Tool::SetDisposition {
                    disposition: "interested".to_owned(),
                    note: some("wants a brochure"),
                },
            ),
            (
                SCHEDULE_CALLBACK,
                json!({"at": "2026-11-23T15:00"}),
                Tool::ScheduleCallback {
                    at: "2026-11-23T15:00".to_owned(),
                    note: None,
                },
            ),
            (TRANSFER_TO_HUMAN, json!({}), Tool::TransferToHuman),
            (
                "lookup_order",
                json!({"order": 7, "deep": [{}]}),
                Tool::Custom {
                    name: "lookup_order".parse().unwrap(),
                    arguments: json!({"order": 7, "deep": [{}]}),
                    is_shared: false,
                },
            ),
        ] {
            assert_eq!(
                Tool::read(name, &parameters),
                Ok(tool.clone()),
                "{parameters}"
            );
            assert_eq!(tool.name(), name);
            assert_eq!(
                Tool::is_built_in(name),
                !matches!(tool, Tool::Custom { .. })
            );
        }
        let long = json!({"reason": "é".repeat(600)});
        let kept = Some("é".repeat(LONGEST_NOTE));
        assert_eq!(
            Tool::read(DO_NOT_CALL, &long),
            Ok(Tool::DoNotCall { reason: kept })
        );
    }

    #[test]
    fn what_cannot_be_served_is_answered_in_words() {
        let refused = |name: &str, parameters: Value| {
            let answer = ToolCall::read("tc_1".to_owned(), name, &parameters).unwrap_err();
            assert_eq!((answer.call.as_str(), answer.is_error), ("tc_1", true));
            answer.text
        };
        assert_eq!(
            refused("look up", json!({})),
            "the tool \"look up\" is not available during a phone call"
        );
        for parameters in [
            json!({}),
            json!({"disposition": " "}),
            json!({"disposition": "x".repeat(61)}),
        ] {
            assert!(refused(SET_DISPOSITION, parameters).contains("disposition"));
        }
        assert!(refused(SCHEDULE_CALLBACK, json!({"at": 15})).contains("needs at"));
    }
}
