//! From a portal's alert to the owner's browser: how long it takes through the table, the stream, the
//! bus, the queue and Pusher.
//!
//! `cargo bench --profile dev --workspace --bench alerts`. The functions are debug builds and
//! everything runs on one machine. The target is below 150 ms at the median.

#[path = "../../local/tests/support/socket.rs"]
#[expect(dead_code, reason = "the tests subscribe in more ways")]
mod socket;

use std::time::Instant;

use bitflow_bench::Error;
use bitflow_bench::figures::{Durations, milliseconds};
use bitflow_bench::world::World;
use bitflow_local::functions;
use bitflow_local::stack::Settings;
use serde_json::json;
use socket::Client;

const RUNS: usize = 200;

/// Runs before them, which are not counted: the first ones start processes.
const WARM_UP: usize = 10;

const CHANNEL: &str = "private-bitflow-admin";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let world = World::start(Settings::passing(functions::build()?)).await?;
    let measured = measure(&world).await;
    let took = world.stop(measured).await?;
    println!(
        "alert to browser, {} runs: median {} ms, p99 {} ms",
        took.count(),
        milliseconds(took.median()),
        milliseconds(took.percentile(99))
    );
    Ok(())
}

async fn measure(world: &World) -> Result<Durations, Error> {
    let university = world.onboard("university").await?;
    world.settle().await?;
    let pusher = &world.info().pusher;
    let address = format!("{}:{}", pusher.host, pusher.port);
    let mut browser = Client::connect(&address, &pusher.key).await;
    let asked = json!({ "socket_id": browser.socket_id, "channel_name": CHANNEL });
    let auth = world.post("/broadcasting/auth", &asked).await?;
    browser.subscribe_as(CHANNEL, &auth).await;

    let mut took = Vec::with_capacity(RUNS);
    for run in 0..WARM_UP + RUNS {
        // Each of another type, so that none is a repeat.
        let alert = json!({
            "type": format!("run_{run}"),
            "university_id": university.id,
            "message": "Storage quota exceeded",
        });
        let started = Instant::now();
        let raised = world.post_signed("/api/admin/alerts", &alert, &university);
        let (raised, heard) = tokio::join!(raised, browser.next());
        raised?;
        if heard["event"] != "alert.created" {
            return Err(format!("the browser heard {heard}").into());
        }
        if run >= WARM_UP {
            took.push(started.elapsed());
        }
    }
    Ok(took.into_iter().collect())
}
