//! The dashboard's files: from the binary, or from a directory while they are being worked on.

use std::path::{Component, Path, PathBuf};

use axum::{
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;

use super::ApiState;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// The page that every address of the dashboard shows.
const PAGE: &str = "index.html";

/// `GET /…`: a file of the dashboard, or its page for addresses without an extension.
pub async fn file(State(state): State<ApiState>, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    let is_page = Path::new(path).extension().is_none();
    let path = if is_page { PAGE } else { path };
    match load(state.static_dir.as_ref().map(|dir| dir.as_path()), path).await {
        Some(bytes) => {
            let content_type = content_type(path);
            let caching = [(header::CACHE_CONTROL, "no-cache")];
            ([(header::CONTENT_TYPE, content_type)], caching, bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn load(dir: Option<&Path>, path: &str) -> Option<Vec<u8>> {
    match dir {
        Some(dir) => tokio::fs::read(inside(dir, path)?).await.ok(),
        None => Files::get(path).map(|file| file.data.into_owned()),
    }
}

/// `path` below `dir`, unless it leads out of it.
fn inside(dir: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let stays = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    stays.then(|| dir.join(path))
}

fn content_type(path: &str) -> &'static str {
    match Path::new(path).extension().and_then(|it| it.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}
