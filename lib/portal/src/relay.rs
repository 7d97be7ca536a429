//! From the outbox to the bus, at least once. The stream and the sweep run the same code.

use std::time::Instant;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use bitflow_events::SOURCE;
use bitflow_store::outbox::{Outbox, OutboxEvent, PENDING_SHARDS};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};

use crate::error::{PortalError, load};

/// Entries of one PutEvents call, by EventBridge's quota.
const MOST_ENTRIES: usize = 10;

/// Bytes of one PutEvents call: below EventBridge's 256 KB, which counts more than the detail.
const MOST_BYTES: usize = 200 * 1024;

/// The sweep leaves younger events to the stream.
const STREAM_HAS: SignedDuration = SignedDuration::from_mins(1);

/// Events of one shard that the sweep takes at a time.
const SWEEP_PAGE: u16 = 50;

/// Puts events on the bus.
#[derive(Debug)]
pub struct Relay {
    /// Where events wait.
    pub outbox: Outbox,
    /// EventBridge.
    pub bus: Client,
    /// The bus's name.
    pub bus_name: String,
}

impl Relay {
    /// Puts `events` on the bus and notes each that it took; one outcome for each, in order.
    ///
    /// An event that could not be noted counts as relayed: the sweep will relay it once more, and
    /// consumers expect that.
    ///
    /// # Errors
    /// [`PortalError::Bus`] for each event that the bus did not take; it is pending still.
    pub async fn relay(
        &self,
        events: &[OutboxEvent],
        now: Timestamp,
    ) -> Vec<Result<(), PortalError>> {
        let began = Instant::now();
        let mut outcomes = Vec::with_capacity(events.len());
        let mut longest = None;
        for call in calls(events) {
            let taken = self.put(call).await;
            let on_the_bus = taken.iter().zip(call).filter(|(taken, _)| taken.is_ok());
            let waited = on_the_bus.map(|(_, event)| lag_ms(event, now, began)).max();
            longest = longest.max(waited);
            let noted = taken.iter().zip(call).map(async |(taken, event)| {
                if taken.is_ok()
                    && let Err(error) = self.outbox.mark_relayed(event.event_id, now).await
                {
                    tracing::warn!(
                        target: "bitflow",
                        event_id = %event.event_id,
                        error = %error,
                        "the event is on the bus, but not noted; the sweep will repeat it",
                    );
                }
            });
            join_all(noted).await;
            outcomes.extend(taken);
        }
        if let Some(longest) = longest {
            metrics::histogram!("RelayLag").record(longest);
        }
        outcomes
    }

    /// Relays what had waited, at `scheduled_at`, for longer than the stream takes; how many events
    /// that were. One that the bus refuses holds up nobody: the others are relayed before this fails.
    ///
    /// # Errors
    /// The first [`PortalError::Bus`], after all others are relayed. The next run tries again.
    pub async fn sweep(
        &self,
        scheduled_at: Timestamp,
        now: Timestamp,
    ) -> Result<usize, PortalError> {
        let before = scheduled_at - STREAM_HAS;
        let mut relayed = 0;
        let mut refused = None;
        for shard in 0..PENDING_SHARDS {
            let mut newest = None;
            loop {
                let events = self
                    .outbox
                    .pending(shard, before, SWEEP_PAGE)
                    .await
                    .map_err(load("sweep outbox"))?;
                for outcome in self.relay(&events, now).await {
                    match outcome {
                        Ok(()) => relayed += 1,
                        Err(error) => refused = refused.or(Some(error)),
                    }
                }
                // What is refused, or could not be noted, comes again at the front of the next page.
                let last = events.last().map(|event| event.event_id);
                if events.len() < usize::from(SWEEP_PAGE) || last == newest {
                    break;
                }
                newest = last;
            }
        }
        refused.map_or(Ok(relayed), Err)
    }

    /// One PutEvents call; one outcome for each event.
    async fn put(&self, events: &[OutboxEvent]) -> Vec<Result<(), PortalError>> {
        let entries = events.iter().map(|event| {
            PutEventsRequestEntry::builder()
                .event_bus_name(&self.bus_name)
                .source(SOURCE)
                .detail_type(&event.detail_type)
                .detail(&event.detail)
                .set_trace_header(event.trace.as_ref().map(ToString::to_string))
                .build()
        });
        let answer = self
            .bus
            .put_events()
            .set_entries(Some(entries.collect()))
            .send()
            .await;
        match answer {
            Ok(answer) => {
                let entries = answer.entries.unwrap_or_default();
                let mut outcomes: Vec<_> = entries.iter().map(outcome).collect();
                let unsaid = || {
                    Err(PortalError::Bus {
                        code: "no result entry".to_owned(),
                    })
                };
                outcomes.resize_with(events.len(), unsaid);
                outcomes
            }
            Err(error) => {
                let code = aws_sdk_eventbridge::error::ProvideErrorMetadata::code(&error)
                    .unwrap_or("no answer")
                    .to_owned();
                events
                    .iter()
                    .map(|_| Err(PortalError::Bus { code: code.clone() }))
                    .collect()
            }
        }
    }
}

/// How long an event waited for the bus, milliseconds, where `now` was when it `began`. The clocks of
/// who wrote it and who relays it differ a little.
fn lag_ms(event: &OutboxEvent, now: Timestamp, began: Instant) -> u32 {
    let waited = now.duration_since(event.occurred_at).as_millis();
    let since = i128::try_from(began.elapsed().as_millis()).unwrap_or(i128::MAX);
    let waited = waited.saturating_add(since).max(0);
    u32::try_from(waited).unwrap_or(u32::MAX)
}

fn outcome(entry: &PutEventsResultEntry) -> Result<(), PortalError> {
    match entry.error_code() {
        None => Ok(()),
        Some(code) => Err(PortalError::Bus {
            code: code.to_owned(),
        }),
    }
}

/// The events cut into calls that EventBridge takes.
fn calls(events: &[OutboxEvent]) -> Vec<&[OutboxEvent]> {
    let size = |event: &OutboxEvent| SOURCE.len() + event.detail_type.len() + event.detail.len();
    let mut calls = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        if at > start && (at - start == MOST_ENTRIES || bytes + size(event) > MOST_BYTES) {
            calls.push(&events[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size(event);
    }
    if start < events.len() {
        calls.push(&events[start..]);
    }
    calls
}

#[cfg(test)]
mod tests {
    use bitflow_events::envelope::EventId;
    use ulid::Ulid;

    use super::*;

    fn check(sizes: &[usize], expect: &[usize]) {
        let events: Vec<_> = sizes
            .iter()
            .map(|size| OutboxEvent {
                event_id: EventId::from_ulid(Ulid::nil()),
                detail_type: String::new(),
                detail: "x".repeat(*size),
                occurred_at: Timestamp::UNIX_EPOCH,
                trace: None,
            })
            .collect();
        let seen: Vec<_> = calls(&events).iter().map(|call| call.len()).collect();
        assert_eq!(seen, expect);
    }

    #[test]
    fn an_event_waits_from_when_it_happened_until_it_is_on_the_bus() {
        let began = Instant::now();
        let event = |at: i64| OutboxEvent {
            event_id: EventId::from_ulid(Ulid::nil()),
            detail_type: String::new(),
            detail: String::new(),
            occurred_at: Timestamp::from_second(at).unwrap(),
            trace: None,
        };
        let now = Timestamp::from_second(100).unwrap();
        assert!((30_000..60_000).contains(&lag_ms(&event(70), now, began)));
        assert!(lag_ms(&event(130), now, began) < 30_000, "never negative");
    }

    #[test]
    fn calls_keep_to_the_quotas() {
        check(&[], &[]);
        check(&[1; 10], &[10]);
        check(&[1; 21], &[10, 10, 1]);
        check(&[150 * 1024, 100 * 1024, 1], &[1, 2]);
        check(&[300 * 1024, 1], &[1, 1]);
    }
}
