//! Invocations that nobody waits for: tried again, and then told to the on-failure destination.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Inner, InvokeError, InvokeOutput, Lambda};
use crate::aws::sqs::queue::NewMessage;

impl Lambda {
    /// Invokes a function and does not wait: as many more tries as its `EventInvokeConfig` has, a
    /// minute and two minutes later, and then a record of it in the on-failure destination.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>
    pub fn invoke_later(&self, name: &str, payload: Bytes) -> Result<(), InvokeError> {
        let function = &self.host(name)?.function;
        let (config, this) = (function.asynchronous.clone(), self.clone());
        let name = function.binary.clone();
        let waiting = Waiting::new(&self.inner, &name);
        tokio::spawn(async move {
            let mut tried = 0;
            let last = loop {
                let output = this.invoke(&name, payload.clone()).await;
                tried += 1;
                match &output {
                    Ok(output) if output.function_error.is_none() => return,
                    Ok(output) => tracing::warn!(
                        function = name,
                        request_id = output.request_id,
                        "an asynchronous invocation failed"
                    ),
                    Err(error) => {
                        tracing::warn!(function = name, %error, "an asynchronous invocation failed");
                    }
                }
                if tried > config.maximum_retry_attempts {
                    break output;
                }
                let clock = &this.inner.settings.clock;
                let again_at = clock.now() + std::time::Duration::from_mins(tried.into());
                waiting.until(Some(again_at));
                clock.sleep_until(again_at).await;
                waiting.until(None);
            };
            if let (Some(queue), Ok(output)) = (&config.on_failure_queue, last) {
                let record = this.record(&name, tried, &payload, &output);
                let message = NewMessage {
                    body: record.to_string(),
                    ..NewMessage::default()
                };
                if let Err(error) = this.inner.settings.sqs.send(queue, message) {
                    tracing::error!(queue, %error, "an invocation was lost");
                }
            }
        });
        Ok(())
    }

    /// What the on-failure destination is told.
    fn record(&self, name: &str, tried: u32, payload: &[u8], output: &InvokeOutput) -> Value {
        let error = output.function_error.map(|error| format!("{error:?}"));
        json!({
            "version": "1.0",
            "timestamp": self.inner.settings.clock.now().to_string(),
            "requestContext": {
                "requestId": output.request_id,
                "functionArn": format!("{}:$LATEST", self.arn(name)),
                "condition": "RetriesExhausted",
                "approximateInvokeCount": tried,
            },
            "requestPayload": serde_json::from_slice::<Value>(payload).unwrap_or_default(),
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": error,
            },
            "responsePayload": serde_json::from_slice::<Value>(&output.payload).unwrap_or_default(),
        })
    }
}

/// An asynchronous invocation that is not over.
struct Waiting {
    inner: Arc<Inner>,
    id: uuid::Uuid,
    name: String,
}

impl Waiting {
    fn new(inner: &Arc<Inner>, name: &str) -> Self {
        let waiting = Self {
            inner: inner.clone(),
            id: uuid::Uuid::new_v4(),
            name: name.to_owned(),
        };
        waiting.until(None);
        waiting
    }

    /// Notes when it is tried again; none while it is under way.
    fn until(&self, again_at: Option<Timestamp>) {
        let mut all = self.inner.asynchronous.lock().expect("no holder panics");
        all.insert(self.id, (self.name.clone(), again_at));
        drop(all);
        self.inner.settings.progress.touch();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut all = self.inner.asynchronous.lock().expect("no holder panics");
        all.remove(&self.id);
        drop(all);
        self.inner.settings.progress.touch();
    }
}
