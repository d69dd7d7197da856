//! `dialtone serve`.

use std::process::ExitCode;

use tracing::warn;

use super::interrupted;
use crate::{app::App, config::Config, observability};

/// Runs the server until it is told to end; a second signal ends the talks that are left.
pub(super) async fn run() -> anyhow::Result<ExitCode> {
    let config = Config::from_env()?;
    observability::start(config.log);
    let app = App::start(config).await?;
    if let Some(user) = &app.first_user {
        eprintln!("first user: {}", user.email);
        if let Some(password) = &user.generated_password {
            eprintln!("password:   {password}   (shown this once)");
        }
    }
    eprintln!("dashboard:  http://{}/", app.address);
    interrupted().await?;
    tokio::select! {
        () = app.drain() => {}
        _ = interrupted() => warn!("second signal: ending at once"),
    }
    app.close().await;
    Ok(ExitCode::SUCCESS)
}
