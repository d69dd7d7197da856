//! Twilio Programmable Voice and Media Streams.
//!
//! Knows Twilio's addresses, field names, status words, error numbers and frames, and turns them
//! into the words of the domain and of [`super::media`]. Knows no campaign, no store and no server:
//! requests arrive here already verified, and what follows from them is decided elsewhere.

pub mod client;
pub mod codes;
mod reply;
pub mod signature;
pub mod stream;
pub mod twiml;
pub mod urls;
pub mod webhook;

pub use client::{Credentials, TwilioCarrier, TwilioConfig};
pub use urls::CallbackUrls;
