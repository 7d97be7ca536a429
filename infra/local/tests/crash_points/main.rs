//! Nothing is lost, nothing happens twice: every flow is walked once undisturbed, then again for
//! each outgoing call of its functions and each thing that may befall it. Whatever it was, the world
//! ends the same.
//!
//! Of a call that a function makes many times in one flow the first and the last are disturbed, and
//! of a transaction each.

#[path = "../samples/answers.rs"]
mod answers;
mod flows;
mod permitted;
#[expect(dead_code, reason = "the samples' own tests use all of it")]
#[path = "../samples/run.rs"]
mod run;
#[expect(dead_code, reason = "the samples' own tests use all of it")]
#[path = "../samples/seed.rs"]
mod seed;
mod snapshot;
#[path = "../support/mod.rs"]
mod support;
mod walk;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_befalls_a_call_the_world_ends_the_same() {
    walk::all().await;
}
