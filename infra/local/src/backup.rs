//! Backups: every table that must be kept, as files in the bucket, and back again.
//!
//! A table is one file of lines `{"Item": {…}}` in DynamoDB's JSON, gzipped, as DynamoDB's own export
//! to S3 writes them. What belongs together is named by a manifest that is written last: without it
//! there is no backup. Restoring reads and checks all of it before it writes anything.
//!
//! Tables are read one after the other while others write: each row is whole, and rows of one moment
//! are what point-in-time recovery is for.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::time::Duration;

use aws_sdk_dynamodb::Client as Dynamo;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_sdk_s3::Client as S3;
use aws_sdk_s3::operation::get_object::GetObjectError;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::attribute::{from_json, to_json};
use crate::template::model::Model;

/// Rows of one BatchWriteItem, by DynamoDB's quota.
const BATCH: usize = 25;

/// How often rows that DynamoDB did not take are sent again.
const MOST_TRIES: u32 = 8;

/// Where tables and backups are.
#[derive(Debug, Clone)]
pub struct Place {
    /// DynamoDB.
    pub dynamo: Dynamo,
    /// S3.
    pub s3: S3,
    /// The bucket of files.
    pub bucket: String,
    /// What the tables' names begin with: the stack's name.
    pub stack_name: String,
    /// The tables that must be kept, without that.
    pub tables: Vec<String>,
}

/// What belongs to one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// When it was begun.
    pub began_at: Timestamp,
    /// Its files.
    pub tables: Vec<TableFile>,
}

/// One table of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFile {
    /// The table, without the stack's name.
    pub table: String,
    /// The file.
    pub key: String,
    /// How many rows it has.
    pub rows: usize,
    /// SHA-256 of the file, hex.
    pub sha256: String,
}

/// A backup was not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A call to AWS failed.
    #[error("{operation} failed")]
    Aws {
        /// The call and what it was about.
        operation: String,
        /// What the SDK said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such backup.
    #[error("there is no backup {0}: it has no manifest")]
    Missing(String),
    /// A file is not what its manifest says.
    #[error("{key} is damaged: {what}; nothing was restored")]
    Damaged {
        /// The file.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// A table has rows.
    #[error("{0} is not empty; nothing was restored")]
    NotEmpty(String),
    /// A table of the backup is none of the stack's.
    #[error("the stack has no table {0}; nothing was restored")]
    NoTable(String),
    /// DynamoDB keeps refusing rows.
    #[error("{0}: rows were not taken; restore into an empty stack again")]
    Refused(String),
}

type Row = HashMap<String, AttributeValue>;

impl Place {
    /// The tables of a stack that its template keeps.
    pub fn new(dynamo: Dynamo, s3: S3, model: &Model, stack_name: &str, bucket: String) -> Self {
        let prefix = format!("{stack_name}-");
        let kept = model.tables.iter().filter(|table| table.is_kept);
        Self {
            dynamo,
            s3,
            bucket,
            tables: kept
                .filter_map(|table| table.name.strip_prefix(&prefix))
                .map(str::to_owned)
                .collect(),
            stack_name: stack_name.to_owned(),
        }
    }

    /// Backs up every table; what was written, and under which name.
    ///
    /// # Errors
    /// [`BackupError::Aws`]: what was written has no manifest, and so is no backup.
    pub async fn back_up(&self, now: Timestamp) -> Result<(String, Manifest), BackupError> {
        let name = now.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        let mut manifest = Manifest {
            began_at: now,
            tables: Vec::new(),
        };
        for table in &self.tables {
            let (file, rows) = self.read(table).await?;
            let key = format!("backups/{name}/{table}.json.gz");
            let sha256 = hex::encode(Sha256::digest(&file));
            self.put(&key, file).await?;
            manifest.tables.push(TableFile {
                table: table.clone(),
                key,
                rows,
                sha256,
            });
        }
        let text = serde_json::to_vec_pretty(&manifest).expect("times and texts are JSON");
        self.put(&manifest_key(&name), text).await?;
        Ok((name, manifest))
    }

    /// Restores a backup into tables that are empty.
    ///
    /// # Errors
    /// Everything is looked through before the first row is written. Only [`BackupError::Refused`]
    /// and [`BackupError::Aws`] may come after that: then the tables hold a part, and it is
    /// restored into empty ones again.
    pub async fn restore(&self, name: &str) -> Result<Manifest, BackupError> {
        let text = self.get(&manifest_key(name)).await?;
        let text = text.ok_or_else(|| BackupError::Missing(name.to_owned()))?;
        let damaged = |key: &str, what: String| BackupError::Damaged {
            key: key.to_owned(),
            what,
        };
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| damaged(&manifest_key(name), error.to_string()))?;
        let mut tables = Vec::new();
        for file in &manifest.tables {
            if !self.tables.contains(&file.table) {
                return Err(BackupError::NoTable(file.table.clone()));
            }
            let content = self.get(&file.key).await?;
            let content =
                content.ok_or_else(|| damaged(&file.key, "it is not there".to_owned()))?;
            if hex::encode(Sha256::digest(&content)) != file.sha256 {
                let what = "its content is not what was backed up".to_owned();
                return Err(damaged(&file.key, what));
            }
            let rows = rows(&content).map_err(|what| damaged(&file.key, what))?;
            if rows.len() != file.rows {
                let what = format!("it has {} rows, not {}", rows.len(), file.rows);
                return Err(damaged(&file.key, what));
            }
            tables.push((&file.table, rows));
        }
        for (table, _) in &tables {
            if self.has_rows(table).await? {
                return Err(BackupError::NotEmpty(self.name(table)));
            }
        }
        for (table, rows) in tables {
            self.write(table, rows).await?;
        }
        Ok(manifest)
    }

    fn name(&self, table: &str) -> String {
        format!("{}-{table}", self.stack_name)
    }

    /// All rows of a table as a file, and how many they are.
    async fn read(&self, table: &str) -> Result<(Vec<u8>, usize), BackupError> {
        let mut file = GzEncoder::new(Vec::new(), Compression::default());
        let (mut rows, mut start) = (0, None);
        loop {
            let page = self
                .dynamo
                .scan()
                .table_name(self.name(table))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(aws("Scan", table))?;
            for row in page.items.unwrap_or_default() {
                let item: Map<String, Value> = row
                    .iter()
                    .map(|(name, value)| (name.clone(), to_json(value)))
                    .collect();
                writeln!(file, "{}", json!({ "Item": item })).expect("in memory");
                rows += 1;
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok((file.finish().expect("in memory"), rows));
            }
        }
    }

    async fn has_rows(&self, table: &str) -> Result<bool, BackupError> {
        let scan = self.dynamo.scan().table_name(self.name(table)).limit(1);
        let page = scan.consistent_read(true).send().await;
        let page = page.map_err(aws("Scan", table))?;
        Ok(page.count() > 0)
    }

    async fn write(&self, table: &str, rows: Vec<Row>) -> Result<(), BackupError> {
        let name = self.name(table);
        for batch in rows.chunks(BATCH) {
            let mut left: Vec<_> = batch.iter().map(|row| request(row.clone())).collect();
            for tried in 0.. {
                let sent = self
                    .dynamo
                    .batch_write_item()
                    .request_items(&name, left)
                    .send()
                    .await
                    .map_err(aws("BatchWriteItem", table))?;
                let mut refused = sent.unprocessed_items.unwrap_or_default();
                left = refused.remove(&name).unwrap_or_default();
                if left.is_empty() {
                    break;
                }
                if tried == MOST_TRIES {
                    return Err(BackupError::Refused(name));
                }
                tokio::time::sleep(Duration::from_millis(50 << tried)).await;
            }
        }
        Ok(())
    }

    async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), BackupError> {
        let put = self.s3.put_object().bucket(&self.bucket).key(key);
        let put = put.body(content.into()).send().await;
        put.map(drop).map_err(aws("PutObject", key))
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BackupError> {
        let get = self.s3.get_object().bucket(&self.bucket).key(key);
        let answer = match get.send().await {
            Ok(answer) => answer,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetObjectError::is_no_such_key) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(aws("GetObject", key)(error)),
        };
        let content = answer.body.collect().await;
        let content = content.map_err(|source| BackupError::Aws {
            operation: format!("GetObject {key}"),
            source: Box::new(source),
        })?;
        Ok(Some(content.to_vec()))
    }
}

fn manifest_key(name: &str) -> String {
    format!("backups/{name}/manifest.json")
}

fn request(row: Row) -> WriteRequest {
    let put = PutRequest::builder().set_item(Some(row)).build();
    let put = put.expect("an item is set");
    WriteRequest::builder().put_request(put).build()
}

/// The rows of a file.
fn rows(file: &[u8]) -> Result<Vec<Row>, String> {
    let mut text = String::new();
    let read = GzDecoder::new(file).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    text.lines()
        .enumerate()
        .map(|(line, text)| {
            let wrong = |what: &str| format!("line {}: {what}", line + 1);
            let row: Value = serde_json::from_str(text).map_err(|it| wrong(&it.to_string()))?;
            let item = row["Item"].as_object().ok_or_else(|| wrong("no Item"))?;
            item.iter()
                .map(|(name, value)| {
                    let value = from_json(value).ok_or_else(|| wrong(name))?;
                    Ok((name.clone(), value))
                })
                .collect()
        })
        .collect()
}

fn aws<E: std::error::Error + Send + Sync + 'static>(
    operation: &str,
    what: &str,
) -> impl FnOnce(E) -> BackupError {
    let operation = format!("{operation} {what}");
    move |source| BackupError::Aws {
        operation,
        source: Box::new(source),
    }
}
