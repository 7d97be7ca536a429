//! What is backed up comes back as it was, or not at all.

mod support;

use std::collections::BTreeSet;

use bitflow_local::attribute::to_json;
use bitflow_local::backup::BackupError;
use serde_json::{Map, Value, json};
use support::{TestStack, real_now};

/// A stack in which something happened.
async fn lived() -> TestStack {
    let stack = TestStack::start().await;
    for name in ["Uppsala", "Lund"] {
        let (university, _) = stack.onboarded(name).await;
        let (_, invoice) = stack.invoice(university, 129_900).await;
        stack.manual_plan(university, 5000).await;
        stack.stripe.pay(&invoice).expect("paid");
    }
    stack.settle().await;
    stack
}

/// Every row of a table, in no order.
async fn rows(stack: &TestStack, table: &str) -> BTreeSet<String> {
    let rows = stack.rows(table).await;
    let text = |row: &std::collections::HashMap<String, _>| {
        let row = row
            .iter()
            .map(|(name, value)| (name.clone(), to_json(value)));
        Value::Object(row.collect::<Map<_, _>>()).to_string()
    };
    rows.iter().map(text).collect()
}

/// Carries the files of a backup to another stack's bucket.
fn carry(from: &TestStack, to: &TestStack, backup: &str) {
    let folder = |stack: &TestStack| stack.bucket_folder().join("backups").join(backup);
    std::fs::create_dir_all(folder(to)).expect("a folder");
    for file in std::fs::read_dir(folder(from)).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), folder(to).join(file.file_name())).expect("copied");
    }
}

#[tokio::test]
async fn a_stack_comes_back_row_by_row() {
    let stack = lived().await;
    let place = stack.place();
    let kept = place.tables.clone();
    for table in [
        "universities",
        "invoices",
        "outbox",
        "inbox",
        "idempotency-keys",
    ] {
        assert!(kept.iter().any(|it| it == table), "{kept:?}");
    }
    assert!(!kept.iter().any(|it| it == "rate-limits"), "{kept:?}");
    let (backup, manifest) = place.back_up(real_now()).await.expect("backed up");
    assert!(manifest.tables.iter().any(|file| file.rows > 0));

    let fresh = TestStack::start().await;
    carry(&stack, &fresh, &backup);
    let restored = fresh.place().restore(&backup).await.expect("restored");
    assert_eq!(restored, manifest);
    fresh.settle().await;
    for table in &kept {
        assert_eq!(
            rows(&fresh, table).await,
            rows(&stack, table).await,
            "{table}"
        );
    }
    // What was told is not told again.
    assert_eq!(fresh.mails(), []);
    // It is alive.
    let (_, listed) = fresh.get("/api/admin/universities").await;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));
    fresh.onboarded("Umea").await;
    let again = fresh.place().restore(&backup).await;
    assert!(matches!(again, Err(BackupError::NotEmpty(_))), "{again:?}");
    fresh.finish().await;
    stack.finish().await;
}

#[tokio::test]
async fn what_still_waits_is_told_after_it_comes_back() {
    let stack = TestStack::start().await;
    stack.sources.pause("outbox-relay");
    stack.onboard("Uppsala").await;
    let (backup, _) = stack.place().back_up(real_now()).await.expect("backed up");
    let fresh = TestStack::start().await;
    carry(&stack, &fresh, &backup);
    fresh.place().restore(&backup).await.expect("restored");
    fresh.settle().await;
    assert_eq!(fresh.mails().len(), 1);
    fresh.finish().await;
    stack.sources.resume("outbox-relay");
    stack.finish().await;
}

#[tokio::test]
async fn a_damaged_backup_is_refused_before_anything_is_written() {
    let stack = lived().await;
    let (backup, _) = stack.place().back_up(real_now()).await.expect("backed up");
    let fresh = TestStack::start().await;
    let folder = fresh.bucket_folder().join("backups").join(&backup);
    let check = async |damage: &dyn Fn(), expect: &str| {
        carry(&stack, &fresh, &backup);
        damage();
        let refused = fresh.place().restore(&backup).await.expect_err("refused");
        assert!(refused.to_string().contains(expect), "{refused}");
        for table in fresh.place().tables {
            assert_eq!(rows(&fresh, &table).await, BTreeSet::new(), "{table}");
        }
    };
    // The last table, so that all others were read before.
    let file = |table: &str| folder.join(format!("{table}.json.gz"));
    let last = fresh.place().tables.last().expect("a table").clone();
    let cut = || {
        let content = std::fs::read(file(&last)).expect("a file");
        std::fs::write(file(&last), &content[..content.len() / 2]).expect("written");
    };
    check(&cut, "is not what was backed up").await;
    let remove = || std::fs::remove_file(file(&last)).expect("removed");
    check(&remove, "it is not there").await;
    let manifest = folder.join("manifest.json");
    let miscount = || {
        let text = std::fs::read_to_string(&manifest).expect("a file");
        let mut changed: Value = serde_json::from_str(&text).expect("JSON");
        changed["tables"][0]["rows"] = json!(1_000);
        std::fs::write(&manifest, changed.to_string()).expect("written");
    };
    check(&miscount, "rows, not 1000").await;
    let unfinished = || std::fs::remove_file(&manifest).expect("removed");
    check(&unfinished, "it has no manifest").await;
    fresh.finish().await;
    stack.finish().await;
}
