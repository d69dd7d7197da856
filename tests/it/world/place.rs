//! Where a test keeps its records, and how they are cleared away.

use std::{panic::AssertUnwindSafe, path::Path, sync::Arc};

use dialtone::{
    clock::{Clock as _, SystemClock},
    store::{Store, mongo::MongoStore, sqlite::SqliteStore},
};
use futures_util::{FutureExt as _, TryStreamExt as _};

/// The kinds of store, and the ways audio can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Embedded,
    Mongo,
    /// As embedded, with audio by tasks instead of workers.
    Tasks,
}

/// A place of one test's own.
pub enum Place {
    Directory {
        directory: tempfile::TempDir,
        media: &'static str,
    },
    Database {
        uri: String,
        name: String,
    },
}

impl Place {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Embedded => Self::directory("workers"),
            Kind::Tasks => Self::directory("tasks"),
            Kind::Mongo => {
                let server = std::env::var("DIALTONE_TEST_MONGODB_URI").expect(
                    "DIALTONE_TEST_MONGODB_URI must name a MongoDB replica set: start one by \
                     `tests/mongod start DIR` and set the variable to what it prints",
                );
                let name = format!("dialtone_it_{}", SystemClock.new_uuid().simple());
                let (address, options) = server.split_once('?').unwrap_or((&server, ""));
                let uri = format!("{}/{name}?{options}", address.trim_end_matches('/'));
                Self::Database { uri, name }
            }
        }
    }

    fn directory(media: &'static str) -> Self {
        Self::Directory {
            directory: tempfile::tempdir().unwrap(),
            media,
        }
    }

    /// Which way audio takes.
    pub fn media(&self) -> &'static str {
        match self {
            Self::Directory { media, .. } => media,
            Self::Database { .. } => "workers",
        }
    }

    /// The variable that tells the server of the place.
    pub fn variable(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "DIALTONE_DATA_DIR",
            Self::Database { .. } => "MONGODB_URI",
        }
    }

    /// What the variable says.
    pub fn value(&self) -> String {
        match self {
            Self::Directory { directory, .. } => directory.path().display().to_string(),
            Self::Database { uri, .. } => uri.clone(),
        }
    }

    /// A handle on the records, as another process would have it.
    pub async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Directory { directory, .. } => {
                Arc::new(SqliteStore::open(&directory.path().join("dialtone.db")).unwrap())
            }
            Self::Database { uri, .. } => Arc::new(MongoStore::connect(uri).await.unwrap()),
        }
    }

    /// Every record, past the store, one a line.
    pub async fn dump(&self) -> String {
        match self {
            Self::Directory { directory, .. } => dump_file(&directory.path().join("dialtone.db")),
            Self::Database { uri, name } => dump_database(uri, name).await,
        }
    }

    async fn clear(&self) {
        if let Self::Database { uri, name } = self {
            let client = mongodb::Client::with_uri_str(uri).await.unwrap();
            client.database(name).drop().await.unwrap();
        }
    }
}

fn dump_file(path: &Path) -> String {
    let file = rusqlite::Connection::open(path).unwrap();
    let mut tables = file
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap();
    let tables = tables.query_map([], |row| row.get(0)).unwrap();
    let tables: Vec<String> = tables.collect::<Result<_, _>>().unwrap();
    let mut lines = String::new();
    for table in tables {
        let mut rows = file.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let n_columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells = (0..n_columns).map(|n| row.get::<_, rusqlite::types::Value>(n).unwrap());
            lines += &format!("{table} {:?}\n", cells.collect::<Vec<_>>());
        }
    }
    lines
}

async fn dump_database(uri: &str, name: &str) -> String {
    let client = mongodb::Client::with_uri_str(uri).await.unwrap();
    let database = client.database(name);
    let mut lines = String::new();
    for collection in database.list_collection_names().await.unwrap() {
        let documents = database.collection::<mongodb::bson::Document>(&collection);
        let documents = documents.find(Default::default()).await.unwrap();
        let documents: Vec<_> = documents.try_collect().await.unwrap();
        for document in documents {
            lines += &format!("{collection} {document}\n");
        }
    }
    lines
}

/// Runs a case in a place of its own, clears it away whatever came of it, and passes on its panic.
pub async fn run<F: Future<Output = ()>>(kind: Kind, case: impl FnOnce(Arc<Place>) -> F) {
    dialtone::app::install_tls();
    let place = Arc::new(Place::new(kind));
    let outcome = AssertUnwindSafe(case(place.clone())).catch_unwind().await;
    place.clear().await;
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure);
    }
}
