//! The words and rules of calling campaigns.
//!
//! Everything here is plain values and plain functions: no I/O, no async, no clock, no randomness
//! and no serialization, and nothing of ours is imported. Time arrives as an argument called `now`;
//! identifiers arrive with the input.

pub mod access;
pub mod address;
pub mod attempt;
pub mod audience;
pub mod breaker;
pub mod budget;
pub mod caller_id;
pub mod campaign;
pub mod cap;
pub mod consent;
pub mod contact;
pub mod disposition;
pub mod enrollment;
pub mod erasure;
pub mod event;
pub mod failover;
pub mod fairness;
pub mod follow_up;
pub mod forecast;
pub mod halt;
pub mod holiday;
pub mod ids;
pub mod machine;
pub mod mute;
pub mod outcome;
pub mod pacing;
pub mod person;
pub mod phone;
pub mod place;
pub mod price;
pub mod profile;
pub mod quality;
pub mod ranges;
pub mod register;
pub mod report;
pub mod retry;
pub mod rules;
pub mod schedule;
pub mod signal;
pub mod spread;
pub mod step;
pub mod suppression;
pub mod text;
pub mod transfer;
pub mod web_tool;
pub mod window;
pub mod zone;

pub use jiff::Timestamp;

/// The lines of a data file that are neither blank nor a comment.
fn data_lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}
