//! The simulator as a dialer meets it: over HTTP, webhooks and sockets.

// Marked as test code, so that helpers may unwrap as tests do.
#[cfg(test)]
mod agent;
#[cfg(test)]
mod bridge;
#[cfg(test)]
mod carrier;
#[cfg(test)]
mod dialer;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod instructions;
#[cfg(test)]
mod sdk;
#[cfg(test)]
mod vapi;
