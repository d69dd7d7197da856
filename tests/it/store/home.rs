//! Where a case finds its store, and how that is cleared away.

use std::{future::Future, sync::Arc};

use dialtone::{
    clock::{Clock, SystemClock},
    store::{Store, StoreResult, memory::MemoryStore, mongo::MongoStore, sqlite::SqliteStore},
};
use mongodb::{
    Collection,
    bson::{Document, doc},
};

/// A place that holds one store's data.
pub enum Home {
    Maps(Arc<MemoryStore>),
    Memory(Arc<SqliteStore>),
    File(tempfile::TempDir),
    Mongo { uri: String, database: String },
}

impl Home {
    /// In plain maps, without a database.
    pub fn in_maps() -> Self {
        Self::Maps(Arc::default())
    }

    pub fn in_memory() -> Self {
        Self::Memory(Arc::new(SqliteStore::in_memory().unwrap()))
    }

    pub fn in_a_file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    /// A database of its own on the replica set that the environment names.
    pub fn in_mongodb() -> Self {
        Self::on_server("DIALTONE_TEST_MONGODB_URI", "tests/mongod start DIR")
    }

    /// A database of its own on the single server that the environment names.
    pub fn in_single_mongodb() -> Self {
        Self::on_server(
            "DIALTONE_TEST_SINGLE_MONGODB_URI",
            "tests/mongod start DIR 0",
        )
    }

    fn on_server(variable: &str, how_to_start: &str) -> Self {
        let server = std::env::var(variable).unwrap_or_else(|_| {
            panic!(
                "{variable} must name a MongoDB: run the tests by `tests/run`, or start one by \
                 `{how_to_start}` and set the variable to what it prints"
            )
        });
        let database = format!("dialtone_test_{}", SystemClock.new_uuid().simple());
        let (address, options) = server.split_once('?').unwrap_or((&server, ""));
        let uri = format!("{}/{database}?{options}", address.trim_end_matches('/'));
        Self::Mongo { uri, database }
    }

    /// A handle on the store, as another process would have it.
    pub async fn try_open(&self) -> StoreResult<Arc<dyn Store>> {
        Ok(match self {
            Self::Maps(store) => store.clone(),
            Self::Memory(store) => store.clone(),
            Self::File(directory) => {
                Arc::new(SqliteStore::open(&directory.path().join("dialtone.db"))?)
            }
            Self::Mongo { uri, .. } => Arc::new(MongoStore::connect(uri).await?),
        })
    }

    /// As [`Home::try_open`], for cases that are about something else.
    pub async fn open(&self) -> Arc<dyn Store> {
        self.try_open().await.unwrap()
    }

    /// Makes the data look as if a later release had written it.
    pub async fn pretend_newer(&self) {
        match self {
            Self::Maps(_) | Self::Memory(_) => panic!("nothing outlives a store in memory"),
            Self::File(directory) => {
                let file = rusqlite::Connection::open(directory.path().join("dialtone.db"));
                file.unwrap()
                    .pragma_update(None, "user_version", 999)
                    .unwrap();
            }
            Self::Mongo { .. } => {
                let meta = self.documents("meta").await;
                meta.update_one(doc! {"_id": "schema"}, doc! {"$set": {"version": 999}})
                    .await
                    .unwrap();
            }
        }
    }

    /// Takes a field out of the record whose `key` column has a value, past the store.
    pub async fn damage(&self, records: &str, (key, value): (&str, &str), field: &str) {
        let n_damaged = match self {
            Self::Maps(_) | Self::Memory(_) => {
                panic!("a store in memory is reached by itself alone")
            }
            Self::File(directory) => {
                let file = rusqlite::Connection::open(directory.path().join("dialtone.db"));
                let remove = format!(
                    "UPDATE {records} SET body = json_remove(body, '$.{field}') WHERE {key} = ?1"
                );
                file.unwrap().execute(&remove, [value]).unwrap() as u64
            }
            Self::Mongo { .. } => {
                let key = if key == "id" { "_id" } else { key };
                let documents = self.documents(records).await;
                let damaged = documents.update_one(doc! {key: value}, doc! {"$unset": {field: ""}});
                damaged.await.unwrap().modified_count
            }
        };
        assert_eq!(n_damaged, 1);
    }

    /// A collection of MongoDB, past the store.
    pub async fn documents(&self, collection: &str) -> Collection<Document> {
        let Self::Mongo { uri, database } = self else {
            panic!("only MongoDB has documents");
        };
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        client.database(database).collection(collection)
    }

    async fn clear(&self) {
        if let Self::Mongo { uri, database } = self {
            let client = mongodb::Client::with_uri_str(uri).await.unwrap();
            client.database(database).drop().await.unwrap();
        }
    }
}

/// Runs a case, clears its home away whatever came of it, and passes on its panic.
pub async fn run<F>(home: Home, case: impl FnOnce(Arc<Home>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let home = Arc::new(home);
    let outcome = tokio::spawn(case(home.clone())).await;
    home.clear().await;
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure.into_panic());
    }
}
