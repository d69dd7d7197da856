//! The words and rules of calling campaigns.
//!
//! Everything here is plain values and plain functions: no I/O, no async, no clock, no randomness
//! and no serialization, and nothing of ours is imported. Time arrives as an argument called `now`;
//! identifiers arrive with the input.

pub mod access;
pub mod attempt;
pub mod audience;
pub mod campaign;
pub mod contact;
pub mod enrollment;
pub mod event;
pub mod ids;
pub mod outcome;
pub mod pacing;
pub mod phone;
pub mod retry;
pub mod rules;
pub mod signal;
pub mod step;
pub mod text;

pub use jiff::Timestamp;
