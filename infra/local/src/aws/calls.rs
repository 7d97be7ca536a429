//! What is asked of AWS, by whom, and what DynamoDB says that it consumes.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>

use std::collections::BTreeMap;
use std::ops::{AddAssign, Sub};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use serde::Deserialize;

/// How often each operation was called; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    callers: Arc<Mutex<BTreeMap<Caller, Asked>>>,
    asks_for_units: Arc<AtomicBool>,
}

/// A function's binary; none for everybody else.
type Caller = Option<String>;

/// What somebody asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// How often, by `<service>.<operation>`, e.g. `DynamoDB.Query`.
    pub counts: BTreeMap<String, u64>,
    /// What DynamoDB says of it while it is [asked](Calls::ask_for_units); what it refused (a
    /// condition that did not hold) is not among it.
    pub units: Units,
}

/// Capacity units.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Units {
    /// Of 4 KiB, strongly consistent; half of one where the read is not, two in a transaction.
    pub read: f64,
    /// Of 1 KiB; two in a transaction.
    pub write: f64,
}

impl AddAssign for Units {
    fn add_assign(&mut self, more: Self) {
        self.read += more.read;
        self.write += more.write;
    }
}

impl Sub for Units {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            read: self.read - before.read,
            write: self.write - before.write,
        }
    }
}

impl Calls {
    /// Everybody's so far, by `<service>.<operation>`, e.g. `DynamoDB.Query`.
    pub fn so_far(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for asked in self.callers().values() {
            for (operation, count) in &asked.counts {
                *sum.entry(operation.clone()).or_default() += count;
            }
        }
        sum
    }

    /// A function's so far.
    pub fn of(&self, function: &str) -> Asked {
        let callers = self.callers();
        callers
            .get(&Some(function.to_owned()))
            .cloned()
            .unwrap_or_default()
    }

    /// Whether DynamoDB is asked what each call consumes, from now on.
    pub fn ask_for_units(&self, ask: bool) {
        self.asks_for_units.store(ask, Ordering::Relaxed);
    }

    /// Counts a call of an operation, by the target of AWS's JSON protocol or S3's name for it.
    pub(super) fn count(&self, caller: Option<&str>, service: &str, operation: &str) {
        // `DynamoDB_20120810` and so on.
        let service = service.split('_').next().unwrap_or(service);
        let mut callers = self.callers();
        let asked = callers.entry(caller.map(str::to_owned)).or_default();
        *asked
            .counts
            .entry(format!("{service}.{operation}"))
            .or_default() += 1;
    }

    /// A request of DynamoDB's, as one that asks what it consumes.
    pub(super) fn asking(&self, operation: &str, body: Bytes) -> Bytes {
        let ask = self.asks_for_units.load(Ordering::Relaxed);
        match body.strip_prefix(b"{") {
            Some(rest) if ask && reads(operation).is_some() && !mentions_capacity(&body) => {
                let asking: &[u8] = br#"{"ReturnConsumedCapacity":"TOTAL","#;
                [asking, rest].concat().into()
            }
            _ => body,
        }
    }

    /// Adds what an answer of DynamoDB's says that it consumed.
    pub(super) fn add_units(&self, caller: Option<&str>, operation: &str, answer: &[u8]) {
        if !self.asks_for_units.load(Ordering::Relaxed) {
            return;
        }
        let Some(reads) = reads(operation) else {
            return;
        };
        let Ok(answer) = serde_json::from_slice::<Answer>(answer) else {
            return;
        };
        let consumed = match answer.consumed_capacity {
            Some(Capacity::One(table)) => table.capacity_units,
            Some(Capacity::Each(tables)) => tables.iter().map(|it| it.capacity_units).sum(),
            None => 0.0,
        };
        let (read, write) = if reads {
            (consumed, 0.0)
        } else {
            (0.0, consumed)
        };
        let mut callers = self.callers();
        let asked = callers.entry(caller.map(str::to_owned)).or_default();
        asked.units += Units { read, write };
    }

    fn callers(&self) -> MutexGuard<'_, BTreeMap<Caller, Asked>> {
        self.callers.lock().expect("no holder panics")
    }
}

/// Whether an operation reads items, or writes them; none where it does neither.
fn reads(operation: &str) -> Option<bool> {
    match operation {
        "GetItem" | "BatchGetItem" | "TransactGetItems" | "Query" | "Scan" => Some(true),
        "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems" => {
            Some(false)
        }
        _ => None,
    }
}

fn mentions_capacity(body: &[u8]) -> bool {
    let name = b"\"ReturnConsumedCapacity\"";
    body.windows(name.len()).any(|it| it == name)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    consumed_capacity: Option<Capacity>,
}

/// An object, or a list of them where a call may be of several tables.
#[derive(Deserialize)]
#[serde(untagged)]
enum Capacity {
    One(Table),
    Each(Vec<Table>),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Table {
    capacity_units: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_asks_once_and_only_where_somebody_wants_to_know() {
        let calls = Calls::default();
        let get = Bytes::from_static(br#"{"TableName":"t"}"#);
        assert_eq!(calls.asking("GetItem", get.clone()), get);
        calls.ask_for_units(true);
        let asking = calls.asking("GetItem", get.clone());
        let expected = r#"{"ReturnConsumedCapacity":"TOTAL","TableName":"t"}"#;
        assert_eq!(asking, expected);
        assert_eq!(calls.asking("GetItem", asking.clone()), asking);
        assert_eq!(calls.asking("DescribeTable", get.clone()), get);
    }

    #[test]
    fn what_answers_say_is_added_up_for_each_caller() {
        let calls = Calls::default();
        let one = br#"{"Item":{},"ConsumedCapacity":{"TableName":"t","CapacityUnits":0.5}}"#;
        calls.add_units(Some("a"), "GetItem", one);
        assert_eq!(calls.of("a").units, Units::default());
        calls.ask_for_units(true);
        calls.add_units(Some("a"), "GetItem", one);
        calls.add_units(None, "GetItem", one);
        let each = br#"{"ConsumedCapacity":[{"CapacityUnits":2.0},{"CapacityUnits":4.0}]}"#;
        calls.add_units(Some("a"), "TransactWriteItems", each);
        calls.add_units(Some("a"), "Query", br#"{"Count":0}"#);
        let (read, write) = (0.5, 6.0);
        assert_eq!(calls.of("a").units, Units { read, write });
    }

    #[test]
    fn everybodys_calls_are_counted_together_and_a_functions_apart() {
        let calls = Calls::default();
        for caller in [Some("a"), Some("a"), None] {
            calls.count(caller, "DynamoDB_20120810", "GetItem");
        }
        let counted = |count| BTreeMap::from([("DynamoDB.GetItem".to_owned(), count)]);
        assert_eq!(calls.so_far(), counted(3));
        assert_eq!(calls.of("a").counts, counted(2));
    }
}
