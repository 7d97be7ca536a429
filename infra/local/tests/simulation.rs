//! A few months of billing with failures mixed in: at their end the books hold.

use bitflow_local::simulate::{self, Settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_hold() {
    let settings = Settings {
        universities: 6,
        months: 3,
        seed: 1,
    };
    let report = simulate::run(&settings).await.expect("lived to the end");
    assert!(report.differences.is_empty(), "{report}");
}
