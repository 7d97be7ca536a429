//! DynamoDB and its streams: dynoxide, in this process.
//!
//! dynoxide answers the wire protocol on an inner port, which [`DynamoDb::url`] names and the
//! endpoint forwards to; streams are read through its library, whose JSON has the names that a
//! Lambda event has.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dynoxide::actions::describe_stream::DescribeStreamRequest;
use dynoxide::actions::get_records::GetRecordsRequest;
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use dynoxide::actions::list_streams::ListStreamsRequest;
use dynoxide::errors::DynoxideError;
use dynoxide::{Database, ImportOptions};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::template::model::Table;

/// The tables of the stack.
#[derive(Clone)]
pub struct DynamoDb {
    database: Database,
    url: Arc<str>,
    /// By table.
    streams: Arc<BTreeMap<String, Stream>>,
    server: Arc<JoinHandle<()>>,
    refusing: Arc<AtomicUsize>,
}

/// A table's stream.
#[derive(Debug)]
struct Stream {
    arn: String,
    /// dynoxide keeps one for each table.
    shard: String,
    writes: watch::Sender<Writes>,
}

/// How many requests began, and ended, that may write to a table with a stream. Whoever read the
/// stream to its end after `ended` writes has read all of it if no more than these began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Writes {
    /// They wake nobody.
    pub started: u64,
    /// Each wakes whoever reads the stream.
    pub ended: u64,
}

/// A request that may write, while it is served.
#[derive(Debug)]
pub(super) struct Writing {
    streams: Arc<BTreeMap<String, Stream>>,
    tables: Vec<String>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        for stream in self.tables.iter().filter_map(|it| self.streams.get(it)) {
            stream.writes.send_modify(|writes| writes.ended += 1);
        }
    }
}

/// The tables could not be made, or read.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbError {
    /// dynoxide refused.
    #[error("DynamoDB could not {operation}")]
    Database {
        /// What it should do.
        operation: String,
        /// What it said.
        #[source]
        source: DynoxideError,
    },
    /// A kept table has other keys, indexes or stream than the template gives it.
    #[error(
        "table {table} is kept with other keys, indexes or stream than template.yaml gives it; start with --reset"
    )]
    OtherKeys {
        /// Which.
        table: String,
    },
    /// The streams have no index.
    #[error("the streams' index could not be made")]
    Index(#[source] rusqlite::Error),
    /// The inner port could not be opened.
    #[error("DynamoDB could not listen")]
    Listen(#[source] std::io::Error),
}

impl DynamoDb {
    /// Opens the database in `folder` (in memory without one) and makes the tables that are not
    /// there yet.
    pub async fn start(tables: &[Table], folder: Option<&Path>) -> Result<Self, DynamoDbError> {
        // A name that a second connection can open, too.
        let path = match folder {
            Some(folder) => folder
                .join("dynamodb.sqlite")
                .to_string_lossy()
                .into_owned(),
            None => format!("file:{}?mode=memory&cache=shared", uuid::Uuid::new_v4()),
        };
        let database = Database::new(&path).map_err(failed("open its database"))?;
        index_streams(&path)?;
        for table in tables {
            make(&database, table)?;
        }
        let streams = streams(&database)?;
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(DynamoDbError::Listen)?;
        let address = listener.local_addr().map_err(DynamoDbError::Listen)?;
        let serving = dynoxide::server::serve_with_shutdown(
            listener,
            database.clone(),
            std::future::pending(),
        );
        let server = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(error, "DynamoDB stopped");
            }
        });
        Ok(Self {
            database,
            url: format!("http://{address}").into(),
            streams: Arc::new(streams),
            server: Arc::new(server),
            refusing: Arc::default(),
        })
    }

    /// Where dynoxide answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Wakes after every request that may have written to the table; nothing where it has no
    /// stream.
    pub fn writes(&self, table: &str) -> Option<watch::Receiver<Writes>> {
        self.streams
            .get(table)
            .map(|stream| stream.writes.subscribe())
    }

    /// The next `count` requests are answered `InternalServerError`, without effect.
    pub fn refuse_next(&self, count: usize) {
        self.refusing.store(count, Ordering::SeqCst);
    }

    /// Whether this request is one of those.
    pub(super) fn refuses(&self) -> bool {
        let left = self
            .refusing
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        left.is_ok()
    }

    /// A request begins to be served. When it ends, whoever reads the stream of a table that it may
    /// have written to looks again.
    pub(super) fn begins(&self, operation: &str, body: &[u8]) -> Writing {
        let reads = [
            "Get",
            "Query",
            "Scan",
            "List",
            "Describe",
            "BatchGet",
            "TransactGet",
        ];
        let mut tables = Vec::new();
        if !reads.iter().any(|read| operation.starts_with(read)) {
            let body = String::from_utf8_lossy(body);
            let names = self.streams.keys();
            tables.extend(names.filter(|name| body.contains(&***name)).cloned());
        }
        self.writing(tables)
    }

    fn writing(&self, tables: Vec<String>) -> Writing {
        for stream in tables.iter().filter_map(|it| self.streams.get(it)) {
            stream.writes.send_if_modified(|writes| {
                writes.started += 1;
                false
            });
        }
        Writing {
            streams: self.streams.clone(),
            tables,
        }
    }

    /// Deletes what has expired, as DynamoDB does within days; the deletions are in the stream.
    pub fn sweep_ttl(&self) {
        let _writing = self.writing(self.streams.keys().cloned().collect());
        match self.database.sweep_ttl() {
            Ok(deleted) => tracing::debug!(deleted, "expired items deleted"),
            Err(error) => tracing::warn!(%error, "expired items were not deleted"),
        }
    }

    /// Up to `most` records of a table's stream after `sequence_number` (from the start without),
    /// as a Lambda event has them.
    pub fn stream_records(
        &self,
        table: &str,
        sequence_number: Option<&str>,
        most: usize,
    ) -> Result<Vec<Value>, DynamoDbError> {
        let failed = failed(&format!("read the stream of {table}"));
        let Some(stream) = self.streams.get(table) else {
            return Ok(Vec::new());
        };
        let iterator_type = if sequence_number.is_some() {
            "AFTER_SEQUENCE_NUMBER"
        } else {
            "TRIM_HORIZON"
        };
        let iterator = self
            .database
            .get_shard_iterator(GetShardIteratorRequest {
                stream_arn: stream.arn.clone(),
                shard_id: stream.shard.clone(),
                shard_iterator_type: iterator_type.to_owned(),
                sequence_number: sequence_number.map(str::to_owned),
            })
            .map_err(&failed)?;
        let Some(shard_iterator) = iterator.shard_iterator else {
            return Ok(Vec::new());
        };
        let page = self
            .database
            .get_records(GetRecordsRequest {
                shard_iterator,
                limit: Some(most),
            })
            .map_err(&failed)?;
        let records = page.records.into_iter().map(|record| {
            let mut record = serde_json::to_value(record).unwrap_or_default();
            record["eventSourceARN"] = Value::String(stream.arn.clone());
            record
        });
        Ok(records.collect())
    }

    /// Puts many rows into a table at once, in DynamoDB's JSON; its stream does not tell of them.
    pub fn import(&self, table: &str, rows: Vec<Value>) -> Result<(), DynamoDbError> {
        let failed = failed(&format!("import into {table}"));
        let malformed = |error: serde_json::Error| {
            failed(DynoxideError::ValidationException(error.to_string()))
        };
        let rows = rows.into_iter().map(serde_json::from_value);
        let rows = rows.collect::<Result<_, _>>().map_err(malformed)?;
        let imported = self
            .database
            .import_items(table, rows, ImportOptions::default());
        imported.map(drop).map_err(failed)
    }

    /// Stops answering.
    pub fn shutdown(&self) {
        self.server.abort();
    }
}

/// dynoxide finds a stream's records, and the number of the next one, by looking at all of them:
/// after a simulated year that is most of the time there is.
fn index_streams(path: &str) -> Result<(), DynamoDbError> {
    let index = "CREATE INDEX IF NOT EXISTS _stream_records_by_number \
                 ON _stream_records (table_name, CAST(sequence_number AS INTEGER))";
    let connection = Connection::open(path).map_err(DynamoDbError::Index)?;
    connection
        .execute(index, [])
        .map_err(DynamoDbError::Index)?;
    Ok(())
}

/// The streams that there are.
fn streams(database: &Database) -> Result<BTreeMap<String, Stream>, DynamoDbError> {
    let failed = failed("list its streams");
    let listed = database.list_streams(ListStreamsRequest::default());
    let mut streams = BTreeMap::new();
    for listed in listed.map_err(&failed)?.streams {
        let described = database.describe_stream(DescribeStreamRequest {
            stream_arn: listed.stream_arn.clone(),
            ..Default::default()
        });
        let shards = described.map_err(&failed)?.stream_description.shards;
        for shard in shards {
            let stream = Stream {
                arn: listed.stream_arn.clone(),
                shard: shard.shard_id,
                writes: watch::Sender::new(Writes::default()),
            };
            streams.insert(listed.table_name.clone(), stream);
        }
    }
    Ok(streams)
}

/// Makes a table unless it is there; then its keys must be the template's.
fn make(database: &Database, table: &Table) -> Result<(), DynamoDbError> {
    let failed = failed(&format!("make table {}", table.name));
    let malformed = |error: serde_json::Error| DynamoDbError::Database {
        operation: format!("make table {}", table.name),
        source: DynoxideError::ValidationException(error.to_string()),
    };
    let name = json!({ "TableName": table.name });
    let described =
        database.describe_table(serde_json::from_value(name.clone()).map_err(malformed)?);
    if let Ok(described) = described {
        let kept = serde_json::to_value(described).unwrap_or_default();
        if shape(&kept["Table"]) != shape(&table.create) {
            return Err(DynamoDbError::OtherKeys {
                table: table.name.clone(),
            });
        }
    } else {
        let create = serde_json::from_value(table.create.clone()).map_err(malformed)?;
        database.create_table(create).map_err(&failed)?;
    }
    let ttl = json!({ "TableName": table.name });
    let ttl = database.describe_time_to_live(serde_json::from_value(ttl).map_err(malformed)?);
    let ttl = serde_json::to_value(ttl.map_err(&failed)?).unwrap_or_default();
    let enabled = ttl["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED";
    if let Some(attribute) = table.ttl_attribute.as_ref().filter(|_| !enabled) {
        let specification = json!({
            "TableName": table.name,
            "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
        });
        let request = serde_json::from_value(specification).map_err(malformed)?;
        database.update_time_to_live(request).map_err(&failed)?;
    }
    Ok(())
}

/// What cannot change on a table that is kept: keys, indexes and the stream.
fn shape(table: &Value) -> Value {
    let indexes = table["GlobalSecondaryIndexes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut indexes: Vec<_> = indexes
        .iter()
        .map(|index| {
            (
                index["IndexName"].to_string(),
                index["KeySchema"].to_string(),
            )
        })
        .collect();
    indexes.sort();
    let view = &table["StreamSpecification"]["StreamViewType"];
    json!({ "keys": table["KeySchema"], "indexes": indexes, "stream": view })
}

fn failed(operation: &str) -> impl Fn(DynoxideError) -> DynamoDbError + use<> {
    let operation = operation.to_owned();
    move |source| DynamoDbError::Database {
        operation: operation.clone(),
        source,
    }
}
