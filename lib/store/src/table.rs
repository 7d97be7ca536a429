//! What every table has in common: one row by its key, a page of an index.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::item::{from_item, s};
use crate::page::{CursorKey, ListError, Page, PageRequest};

/// How often one page is read on for rows that are wanted.
const MOST_READS: usize = 10;

/// One table, by the name it was deployed under.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
    /// What it is called in errors.
    kind: &'static str,
}

/// Which rows, in which order.
pub(crate) struct Select<'a> {
    /// The index; none is the table itself.
    pub(crate) index: Option<&'static str>,
    /// The partition, and the other key attributes of table and index.
    pub(crate) key: CursorKey<'a>,
    /// Only rows whose sort key is at least, and at most this.
    pub(crate) between: Option<(&'static str, String, String)>,
    /// Only rows whose sort key begins with this; not together with `between`.
    pub(crate) prefix: Option<(&'static str, &'a str)>,
    /// Of those, only rows that have these values; others count towards the limit all the same.
    pub(crate) only_where: Vec<(&'static str, &'a str)>,
    /// Last first.
    pub(crate) backwards: bool,
    /// Only these attributes; where none is named, all.
    pub(crate) only: &'static [&'static str],
}

impl<'a> Select<'a> {
    /// All rows of a partition of `index`, in the order of the sort key.
    pub(crate) fn of(index: &'static str, key: CursorKey<'a>) -> Self {
        Self {
            index: Some(index),
            ..Self::of_table(key)
        }
    }

    /// All rows of a partition of the table itself, likewise.
    pub(crate) fn of_table(key: CursorKey<'a>) -> Self {
        Self {
            index: None,
            key,
            between: None,
            prefix: None,
            only_where: Vec::new(),
            backwards: false,
            only: &[],
        }
    }
}

impl Table {
    pub(crate) fn new(client: &Client, name: impl Into<String>, kind: &'static str) -> Self {
        Self {
            client: client.clone(),
            name: name.into(),
            kind,
        }
    }

    /// The row as of now (a consistent read).
    pub(crate) async fn get<R: DeserializeOwned>(
        &self,
        key: &[(&str, String)],
    ) -> Result<Option<R>, StoreError> {
        let mut get = self.client.get_item().table_name(&self.name);
        for (attribute, value) in key {
            get = get.key(*attribute, s(value));
        }
        let answer = get
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::dynamo(format!("GetItem {}", self.kind), error))?;
        answer
            .item
            .map(|item| from_item(self.kind, item))
            .transpose()
    }

    /// The first row of an index whose key is `value`. A new row shows after a moment.
    pub(crate) async fn first<R: DeserializeOwned>(
        &self,
        index: &str,
        attribute: &str,
        value: &str,
    ) -> Result<Option<R>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(index)
            .key_condition_expression("#key = :value")
            .expression_attribute_names("#key", attribute)
            .expression_attribute_values(":value", s(value))
            .limit(1)
            .send()
            .await
            .map_err(|error| StoreError::dynamo(format!("Query {}.{index}", self.kind), error))?;
        let first = answer.items.unwrap_or_default().into_iter().next();
        first.map(|item| from_item(self.kind, item)).transpose()
    }

    /// A page of those rows that are wanted, read on for where others lie between. Where few of very
    /// many are wanted, it may hold fewer than it could and still not be the last.
    pub(crate) async fn filled<'a, R: DeserializeOwned>(
        &self,
        select: impl Fn() -> Select<'a>,
        wanted: &PageRequest,
    ) -> Result<Page<R>, ListError> {
        let mut filled = Page {
            data: Vec::new(),
            next_cursor: wanted.cursor.clone(),
        };
        for _ in 0..MOST_READS {
            let left = usize::from(wanted.limit) - filled.data.len();
            let left = i32::try_from(left).unwrap_or(i32::MAX);
            let cursor = filled.next_cursor.as_deref();
            let read = self.page::<R>(select(), left, cursor).await?;
            filled.data.extend(read.data);
            filled.next_cursor = read.next_cursor;
            if filled.next_cursor.is_none() || filled.data.len() >= wanted.limit.into() {
                break;
            }
        }
        Ok(filled)
    }

    /// Up to `limit` rows after `cursor`; of the table itself as of now (a consistent read).
    pub(crate) async fn page<R: DeserializeOwned>(
        &self,
        select: Select<'_>,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<R>, ListError> {
        let (partition, value) = select.key.partition;
        let start = cursor.map(|cursor| select.key.decode(cursor)).transpose()?;
        // DynamoDB refuses a start outside of the range.
        if let (Some(start), Some((sort, prefix))) = (&start, select.prefix) {
            let within =
                |value: &AttributeValue| value.as_s().is_ok_and(|it| it.starts_with(prefix));
            if !start.get(sort).is_some_and(within) {
                return Err(ListError::cursor());
            }
        }
        if let (Some(start), Some((sort, from, to))) = (&start, &select.between) {
            let at = start.get(*sort).and_then(|value| value.as_s().ok());
            if at.is_none_or(|at| at < from || at > to) {
                return Err(ListError::cursor());
            }
        }
        let mut query = self
            .client
            .query()
            .table_name(&self.name)
            .set_index_name(select.index.map(str::to_owned))
            // An index has no consistent reads.
            .consistent_read(select.index.is_none())
            .expression_attribute_names("#partition", partition)
            .expression_attribute_values(":partition", s(value))
            .scan_index_forward(!select.backwards)
            .limit(limit)
            .set_exclusive_start_key(start);
        query = match (&select.between, select.prefix) {
            (None, None) => query.key_condition_expression("#partition = :partition"),
            (None, Some((sort, prefix))) => query
                .key_condition_expression("#partition = :partition AND begins_with(#sort, :prefix)")
                .expression_attribute_names("#sort", sort)
                .expression_attribute_values(":prefix", s(prefix)),
            (Some((sort, from, to)), _) => query
                .key_condition_expression("#partition = :partition AND #sort BETWEEN :from AND :to")
                .expression_attribute_names("#sort", *sort)
                .expression_attribute_values(":from", s(from))
                .expression_attribute_values(":to", s(to)),
        };
        let mut projection = Vec::new();
        for (at, attribute) in select.only.iter().enumerate() {
            let name = format!("#shown{at}");
            query = query.expression_attribute_names(&name, *attribute);
            projection.push(name);
        }
        if !projection.is_empty() {
            query = query.projection_expression(projection.join(", "));
        }
        let mut conditions = Vec::new();
        for (at, (attribute, value)) in select.only_where.iter().enumerate() {
            let (name, wanted) = (format!("#only{at}"), format!(":only{at}"));
            conditions.push(format!("{name} = {wanted}"));
            query = query
                .expression_attribute_names(name, *attribute)
                .expression_attribute_values(wanted, s(value));
        }
        if !conditions.is_empty() {
            query = query.filter_expression(conditions.join(" AND "));
        }
        let index = select.index.unwrap_or("table");
        let answer = query
            .send()
            .await
            .map_err(|error| StoreError::dynamo(format!("Query {}.{index}", self.kind), error))?;
        let next_cursor = answer
            .last_evaluated_key()
            .map(|last| select.key.encode(last));
        let data = answer
            .items
            .unwrap_or_default()
            .into_iter()
            .map(|item| from_item(self.kind, item))
            .collect::<Result<_, _>>()?;
        Ok(Page { data, next_cursor })
    }
}
