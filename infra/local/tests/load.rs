//! A short load, which loses nothing.

use std::time::Duration;

use bitflow_local::load::{self, Settings};

#[tokio::test]
async fn nothing_that_was_accepted_is_missing() {
    let settings = Settings {
        clients: 3,
        universities: 2,
        lasts: Duration::from_secs(2),
    };
    let report = load::run(&settings)
        .await
        .expect("the stack is driven to the end");
    assert!(report.requests() > 0);
    assert_eq!(report.missing, [""; 0], "{report}");
}
