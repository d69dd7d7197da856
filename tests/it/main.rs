//! Black-box tests: real servers on free ports, spoken to over their own protocols, on both stores.

#![cfg(test)]

#[path = "../../fuzz/feed.rs"]
mod feed;
mod fuzz;
mod server;
mod sim;
mod store;
mod world;
