//! Dialtone: an outbound voice campaign dialer.
//!
//! `ARCHITECTURE.md` is the map. In one breath: [`domain`] holds the rules, `engine` decides and
//! drives, every other directory translates one outside world, and `app` joins them.

pub mod agents;
pub mod api;
pub mod app;
pub mod audio;
pub mod bridge;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod import;
pub mod json;
pub mod observability;
pub mod realtime;
pub mod sim;
pub mod store;
pub mod telephony;
pub mod web;
pub mod websocket;
