//! How samples are run.

use bitflow_local::functions::workspace;
use bitflow_local::samples::{self, Secrets};
use serde_json::{Value, json};

use crate::seed::{PORTAL_SECRET, World};
use crate::support::real_now;

/// A function's samples in the order in which they are run, and what each answers.
pub(crate) struct Samples {
    pub(crate) function: &'static str,
    pub(crate) answers: &'static [(&'static str, Answer)],
}

pub(crate) enum Answer {
    /// Of an API: its status.
    Status(u16),
    /// Of a listener: the last digits of the messages that failed.
    Failed(&'static [u8]),
    /// Of a job.
    Null,
}

impl Answer {
    /// The part of an answer that is told, and what it must be.
    pub(crate) fn held_against(&self, answer: &Value) -> (Value, Value) {
        match self {
            Self::Status(status) => (answer["statusCode"].clone(), json!(status)),
            Self::Failed(messages) => (answer.clone(), failed(messages)),
            Self::Null => (answer.clone(), Value::Null),
        }
    }
}

impl World {
    /// Runs a function's samples; then waits until nothing is going on any more.
    pub(crate) async fn run(&self, samples: &Samples) {
        for (file, expect) in samples.answers {
            let sample = format!("{}/{file}", samples.function);
            let answer = self.invoke(&sample).await;
            let (seen, expect) = expect.held_against(&answer);
            assert_eq!(seen, expect, "{sample}: {answer}");
        }
        self.stack.settle().await;
    }

    /// What a sample answers.
    pub(crate) async fn invoke(&self, sample: &str) -> Value {
        let event = self.event(sample);
        let function = sample.split('/').next().unwrap_or_default();
        let invoked = self.stack.lambda.invoke(function, event.to_string().into());
        let output = invoked.await.expect("invoked");
        assert_eq!(output.function_error, None, "{sample}: {}", output.log_tail);
        serde_json::from_slice(&output.payload).expect("JSON")
    }

    /// A sample as it is now: signed anew, with what stands in for Stripe's ids.
    pub(crate) fn event(&self, sample: &str) -> Value {
        let path = workspace().join("events").join(sample);
        let event = self.with_stand_ins(std::fs::read_to_string(path).expect("a sample"));
        let mut event: Value = serde_json::from_str(&event).expect("JSON");
        if !sample.contains("stale") {
            let secrets = Secrets {
                stripe: self.stack.info().stripe_webhook_secret.clone().into(),
                portal: Some(PORTAL_SECRET.to_owned().into()),
            };
            samples::sign_anew(&mut event, &secrets, real_now());
        }
        event
    }
}

/// What a listener answers when these messages failed.
fn failed(messages: &[u8]) -> Value {
    let items = messages
        .iter()
        .map(|last| json!({ "itemIdentifier": format!("00000000-0000-4000-8000-{last:012}") }));
    json!({ "batchItemFailures": items.collect::<Vec<_>>() })
}
