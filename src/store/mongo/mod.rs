//! The MongoDB store: for several processes, on a replica set or a single server.
//!
//! It knows the documents of each collection and how to change them so that several processes can
//! do it at once; it decides nothing. Documents are the records that both stores share, with fields
//! beside them that only serve to find them.
//!
//! On a replica set what belongs together is written in a transaction. A single server has none:
//! see [`commit`] for how a commit is still all or nothing there. Driver futures are never put under
//! a timeout or dropped half way, because that costs the connection they run on; the driver's own
//! limits apply.

mod accounts;
mod calls;
mod campaigns;
mod claims;
mod commit;
mod contacts;
mod dispatch;
mod documents;
mod enrollments;
mod events;
mod figures;
mod group;
mod imports;
mod inbox;
mod installation;
mod people;
mod progress;
mod setup;
mod suppressions;
mod transaction;
mod watch;
mod web_tools;

use std::{ops::Deref, time::Duration};

use mongodb::{
    Client, Collection, Database,
    bson::{Document, doc},
    error::{Error, ErrorKind, InsertManyError, WriteFailure},
    options::{ClientOptions, WriteConcern},
};

use self::group::Group;
use super::{StoreError, StoreResult, records::unreadable};

/// How long a request waits for a server to be there.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(4);

/// The driver's own ten are fewer than the calls that end in one second.
const MAX_POOL_SIZE: u32 = 64;

/// The database of a URI that names none.
const DEFAULT_DATABASE: &str = "dialtone";

/// The server's code for a unique value that is there already.
const DUPLICATE_KEY: i32 = 11_000;

/// The store on a MongoDB server.
#[derive(Clone)]
pub struct MongoStore {
    server: Server,
    settled: Group<inbox::Settled, ()>,
    numbered: Group<events::Numbers, i64>,
}

/// A connected server with its database: what the store is made of.
#[derive(Clone)]
pub struct Server {
    client: Client,
    database: Database,
    /// Whether there are transactions and change streams.
    is_replicated: bool,
}

impl Deref for MongoStore {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl MongoStore {
    /// Connects to the server of a `mongodb://` URI and prepares its database.
    ///
    /// - Errors: [`StoreError::Unavailable`] when no server answers or the URI is wrong;
    ///   [`StoreError::Unreadable`] when a newer release wrote the database.
    pub async fn connect(uri: &str) -> StoreResult<Self> {
        // Another part of the process may have done this already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut options = ClientOptions::parse(uri).await?;
        options
            .app_name
            .get_or_insert_with(|| "dialtone".to_owned());
        options
            .server_selection_timeout
            .get_or_insert(SERVER_SELECTION_TIMEOUT);
        options.max_pool_size.get_or_insert(MAX_POOL_SIZE);
        options.write_concern = Some(
            WriteConcern::builder()
                .w(mongodb::options::Acknowledgment::Majority)
                .journal(true)
                .build(),
        );
        let client = Client::with_options(options)?;
        let database = client
            .default_database()
            .unwrap_or_else(|| client.database(DEFAULT_DATABASE));
        let hello = database.run_command(doc! {"hello": 1}).await?;
        let is_sharded = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        let server = Server {
            client,
            database,
            is_replicated: is_sharded || hello.contains_key("setName"),
        };
        let store = Self {
            settled: Group::start(server.clone(), 4, inbox::settle_together),
            numbered: Group::start(server.clone(), 1, events::take_together),
            server,
        };
        setup::prepare(&store).await?;
        // Also on a replica set, which may have been a single server before.
        store.complete_commits().await?;
        Ok(store)
    }
}

impl Server {
    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    fn campaigns(&self) -> Collection<Document> {
        self.collection("campaigns")
    }

    fn enrollments(&self) -> Collection<Document> {
        self.collection("enrollments")
    }

    fn calls(&self) -> Collection<Document> {
        self.collection("calls")
    }

    fn events(&self) -> Collection<Document> {
        self.collection("events")
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match *error.kind {
            ErrorKind::BsonDeserialization(_) | ErrorKind::Bson(_) => {
                unreadable("a document", error)
            }
            _ => Self::Unavailable(error.into()),
        }
    }
}

/// Whether a unique value is already there.
fn is_taken(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        ErrorKind::InsertMany(errors) => taken_positions(errors).is_some(),
        _ => false,
    }
}

/// Which of the inserted documents were there already, where nothing else went wrong.
fn taken_positions(errors: &InsertManyError) -> Option<Vec<usize>> {
    let refused = errors.write_errors.as_deref().unwrap_or_default();
    let are_taken = !refused.is_empty()
        && errors.write_concern_error.is_none()
        && refused.iter().all(|error| error.code == DUPLICATE_KEY);
    are_taken.then(|| refused.iter().map(|error| error.index).collect())
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{self, Bson};

    use super::*;

    #[test]
    fn only_duplicate_keys_alone_are_taken() {
        let refused = |index: i32, code: i32| doc! {"index": index, "code": code, "errmsg": ""};
        let unsure = Bson::from(doc! {"code": 64, "codeName": "", "errmsg": "timeout"});
        for (writes, concern, expected) in [
            (vec![refused(1, 11_000)], Bson::Null, Some(vec![1])),
            (vec![refused(0, 11_000), refused(1, 121)], Bson::Null, None),
            (vec![refused(1, 11_000)], unsure.clone(), None),
            (vec![], unsure, None),
            (vec![], Bson::Null, None),
        ] {
            let answer = doc! {"writeErrors": writes, "writeConcernError": concern};
            let errors: InsertManyError = bson::deserialize_from_document(answer.clone()).unwrap();
            assert_eq!(taken_positions(&errors), expected, "{answer}");
        }
    }
}
