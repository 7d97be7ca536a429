//! DynamoDB and its streams: dynoxide, in this process.
//!
//! dynoxide answers the wire protocol on an inner port, which [`DynamoDb::url`] names and the
//! endpoint forwards to; streams are read through its library, whose JSON has the names that a
//! Lambda event has.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dynoxide::Database;
use dynoxide::actions::describe_stream::DescribeStreamRequest;
use dynoxide::actions::get_records::GetRecordsRequest;
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use dynoxide::actions::list_streams::ListStreamsRequest;
use dynoxide::errors::DynoxideError;
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
    changes: Arc<watch::Sender<u64>>,
    server: Arc<JoinHandle<()>>,
    refusing: Arc<AtomicUsize>,
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
    /// The inner port could not be opened.
    #[error("DynamoDB could not listen")]
    Listen(#[source] std::io::Error),
}

impl DynamoDb {
    /// Opens the database in `folder` (in memory without one) and makes the tables that are not
    /// there yet.
    pub async fn start(tables: &[Table], folder: Option<&Path>) -> Result<Self, DynamoDbError> {
        let database = match folder {
            Some(folder) => Database::new(&folder.join("dynamodb.sqlite").to_string_lossy()),
            None => Database::memory(),
        }
        .map_err(failed("open its database"))?;
        for table in tables {
            make(&database, table)?;
        }
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
            changes: Arc::new(watch::Sender::new(0)),
            server: Arc::new(server),
            refusing: Arc::default(),
        })
    }

    /// Where dynoxide answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Wakes after every request that may have written.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
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

    /// A request was served; whoever reads streams looks again if it may have written.
    pub fn served(&self, operation: &str) {
        let reads = [
            "Get",
            "Query",
            "Scan",
            "List",
            "Describe",
            "BatchGet",
            "TransactGet",
        ];
        if !reads.iter().any(|read| operation.starts_with(read)) {
            self.changes.send_modify(|n| *n = n.wrapping_add(1));
        }
    }

    /// Deletes what has expired, as DynamoDB does within days; the deletions are in the stream.
    pub fn sweep_ttl(&self) {
        match self.database.sweep_ttl() {
            Ok(0) => {}
            Ok(deleted) => {
                tracing::debug!(deleted, "expired items deleted");
                self.served("DeleteItem");
            }
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
        let streams = self
            .database
            .list_streams(ListStreamsRequest {
                table_name: Some(table.to_owned()),
                ..Default::default()
            })
            .map_err(&failed)?;
        let Some(stream) = streams.streams.into_iter().next() else {
            return Ok(Vec::new());
        };
        let description = self
            .database
            .describe_stream(DescribeStreamRequest {
                stream_arn: stream.stream_arn.clone(),
                exclusive_start_shard_id: None,
                limit: None,
            })
            .map_err(&failed)?;
        let mut records = Vec::new();
        // dynoxide keeps one shard for each table.
        for shard in description.stream_description.shards {
            let iterator_type = if sequence_number.is_some() {
                "AFTER_SEQUENCE_NUMBER"
            } else {
                "TRIM_HORIZON"
            };
            let iterator = self
                .database
                .get_shard_iterator(GetShardIteratorRequest {
                    stream_arn: stream.stream_arn.clone(),
                    shard_id: shard.shard_id,
                    shard_iterator_type: iterator_type.to_owned(),
                    sequence_number: sequence_number.map(str::to_owned),
                })
                .map_err(&failed)?;
            let Some(shard_iterator) = iterator.shard_iterator else {
                continue;
            };
            let page = self
                .database
                .get_records(GetRecordsRequest {
                    shard_iterator,
                    limit: Some(most),
                })
                .map_err(&failed)?;
            for record in page.records {
                let mut record = serde_json::to_value(record).unwrap_or_default();
                record["eventSourceARN"] = Value::String(stream.stream_arn.clone());
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Stops answering.
    pub fn shutdown(&self) {
        self.server.abort();
    }
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
