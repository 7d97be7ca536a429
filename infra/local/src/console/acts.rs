//! What the tabs beside the timeline show, and what their buttons do. Everything goes the way that the
//! commands of `cargo local` go.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Console;
use super::causes::Told;
use super::pages::refusal;
use crate::aws::sqs::queue::Message;
use crate::functions::workspace;
use crate::lambda::{FunctionError, InvokeOutput};
use crate::scheduler::FireError;
use crate::simulators::stripe::StripeSim;
use crate::{redrive as redriving, remote};

type Shared = State<Arc<Console>>;

/// Every queue with its dead letters, those that hold something first.
pub(super) async fn queues(State(console): Shared) -> Response {
    let now = console.clock.now();
    let depth = |name: &str| {
        let depth = console.sqs.depth(name).unwrap_or_default();
        json!({ "visible": depth.visible, "in_flight": depth.in_flight, "delayed": depth.delayed })
    };
    let letters = |name: &str| {
        let messages = console.sqs.peek(name).unwrap_or_default();
        let shown = messages.iter().map(|message| letter(&console, message));
        shown.collect::<Vec<_>>()
    };
    let queues = console.model.queues.iter();
    let read = queues.clone().filter_map(|queue| {
        let redrive = queue.redrive.as_ref()?;
        Some(json!({
            "name": queue.name,
            "depth": depth(&queue.name),
            "tries": redrive.max_receive_count,
            "visibility_timeout_s": queue.visibility_timeout.as_secs(),
            "dead_letter_queue": redrive.dead_letter_queue,
            "dead_letters": letters(&redrive.dead_letter_queue),
        }))
    });
    let is_of_none = |name: &str| {
        let mut redrives = queues.clone().filter_map(|it| it.redrive.as_ref());
        redrives.all(|it| it.dead_letter_queue != name)
    };
    let kept = queues
        .clone()
        .filter(|it| it.redrive.is_none() && is_of_none(&it.name));
    let kept =
        kept.map(|queue| json!({ "name": queue.name, "dead_letters": letters(&queue.name) }));
    let (read, kept): (Vec<_>, Vec<_>) = (read.collect(), kept.collect());
    Json(json!({ "now": now, "queues": read, "undelivered": kept })).into_response()
}

/// A dead letter, without what it says.
fn letter(console: &Console, message: &Message) -> Value {
    let told = Told::of_text(&message.body);
    let id = told.correlation_id.as_deref().unwrap_or_default();
    let flow = console.recorder.look(|flows| {
        let place = flows.message(&message.message_id).map(|it| it.flow);
        let flow = place.or_else(|| flows.of(id)).and_then(|it| flows.flow(it));
        flow.map(|flow| flow.id.clone())
    });
    json!({
        "id": message.message_id,
        "type": told.kind,
        "sent_at": message.sent_at,
        "received": message.receive_count,
        "flow": flow,
    })
}

pub(super) async fn redrive(State(console): Shared, Path(queue): Path<String>) -> Response {
    match redriving::run(&console.info, &console.model, &queue).await {
        Ok(moved) => {
            let said = moved.to_string();
            Json(json!({ "said": said, "moved": moved.messages })).into_response()
        }
        Err(why) => refusal(StatusCode::BAD_REQUEST, &why),
    }
}

/// Newest first, without what they say.
pub(super) async fn mails(State(console): Shared) -> Response {
    let mails = console.sendgrid.mails();
    let mails = mails.iter().rev().map(|mail| {
        let event = mail.custom_args["event_id"].as_str().unwrap_or_default();
        let flow = console.recorder.look(|flows| {
            let place = flows.event(event)?;
            flows.flow(place.flow).map(|flow| flow.id.clone())
        });
        json!({
            "id": mail.id,
            "to": mail.to,
            "from": mail.from,
            "subject": mail.subject,
            "received_at": mail.received_at,
            "categories": mail.categories,
            "flow": flow,
        })
    });
    let mails: Vec<_> = mails.collect();
    let now = console.clock.now();
    Json(json!({ "now": now, "mails": mails, "mailbox": console.info.mailbox_url })).into_response()
}

/// One as it looks, to be framed: it may run nothing and fetch nothing.
pub(super) async fn mail(State(console): Shared, Path(id): Path<String>) -> Response {
    let mails = console.sendgrid.mails();
    let Some(mail) = mails.into_iter().find(|mail| mail.id == id) else {
        return refusal(StatusCode::NOT_FOUND, &format!("There is no mail {id}."));
    };
    let policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                  frame-ancestors 'self'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, mail.html).into_response()
}

/// Customers with their invoices and what was paid, newest first.
pub(super) async fn stripe(State(console): Shared) -> Response {
    let sim = &console.stripe;
    let (invoices, charges) = (sim.objects("invoice"), sim.objects("charge"));
    let of = |objects: &[Value], customer: &Value, fields: &[&str]| {
        let own = objects
            .iter()
            .rev()
            .filter(|it| it["customer"] == customer["id"]);
        own.map(|it| only(it, fields)).collect::<Vec<_>>()
    };
    let customers = sim.objects("customer");
    let customers = customers.iter().rev().map(|customer| {
        let mut shown = only(customer, &["id", "name", "email", "created"]);
        shown["university_id"] = customer["metadata"]["university_id"].clone();
        shown["invoices"] = of(
            &invoices,
            customer,
            &[
                "id",
                "number",
                "status",
                "currency",
                "total",
                "amount_paid",
                "created",
                "due_date",
            ],
        )
        .into();
        shown["payments"] = of(
            &charges,
            customer,
            &[
                "id",
                "status",
                "currency",
                "amount",
                "amount_refunded",
                "created",
                "failure_message",
            ],
        )
        .into();
        shown
    });
    let customers: Vec<_> = customers.collect();
    Json(json!({ "now": console.clock.now(), "customers": customers })).into_response()
}

fn only(object: &Value, fields: &[&str]) -> Value {
    let fields = fields
        .iter()
        .map(|name| ((*name).to_owned(), object[*name].clone()));
    Value::Object(fields.collect())
}

/// What a customer or its bank does with an invoice.
pub(super) async fn invoice(
    State(console): Shared,
    Path((id, act)): Path<(String, String)>,
) -> Response {
    let act = match act.as_str() {
        "pay" => StripeSim::pay,
        "decline" => StripeSim::fail,
        other => {
            let why = format!("An invoice can be made to pay or to decline, not to {other}.");
            return refusal(StatusCode::NOT_FOUND, &why);
        }
    };
    match act(&console.stripe, &id) {
        Ok(invoice) => {
            let (number, status) = (&invoice["number"], &invoice["status"]);
            let named = number.as_str().unwrap_or(&id);
            let said = format!("{named} is {}.", status.as_str().unwrap_or("changed"));
            Json(json!({ "said": said, "status": status })).into_response()
        }
        Err(why) => refusal(StatusCode::BAD_REQUEST, &why),
    }
}

/// Who is connected to Pusher, and listens to what.
pub(super) async fn channels(State(console): Shared) -> Response {
    let connections = console.pusher.connections();
    let connections: Vec<_> = connections
        .iter()
        .map(|(socket, channels)| json!({ "socket_id": socket, "channels": channels }))
        .collect();
    let channels = console.pusher.channels();
    let channels: Vec<_> = channels
        .iter()
        .map(|(name, count)| json!({ "name": name, "connections": count }))
        .collect();
    let pusher = &console.info.pusher;
    let url = format!("ws://{}:{}/app/{}", pusher.host, pusher.port, pusher.key);
    Json(json!({ "url": url, "channels": channels, "connections": connections })).into_response()
}

pub(super) async fn schedules(State(console): Shared) -> Response {
    let now = console.clock.now();
    let jobs = console.scheduler.jobs().into_iter().map(
        |job| json!({ "job": job.function, "schedule": job.expression, "next_at": job.next_at }),
    );
    let jobs: Vec<_> = jobs.collect();
    Json(json!({ "now": now, "jobs": jobs })).into_response()
}

/// Which job, and when it is due.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fire {
    job: String,
    at: String,
}

pub(super) async fn fire(
    State(console): Shared,
    asked: Result<Json<Fire>, JsonRejection>,
) -> Response {
    let Json(Fire { job, at }) = match asked {
        Ok(asked) => asked,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why.body_text()),
    };
    let Ok(at) = at.parse::<Timestamp>() else {
        let why = format!("{at:?} is no time; one is 2026-01-01T00:00:00Z.");
        return refusal(StatusCode::BAD_REQUEST, &why);
    };
    match console.scheduler.fire(&job, at).await {
        Ok(output) => ran(&job, &output),
        Err(error @ FireError::NoSchedule(_)) => {
            refusal(StatusCode::NOT_FOUND, &format!("{error}."))
        }
        Err(error) => refusal(StatusCode::BAD_GATEWAY, &format!("{error}.")),
    }
}

/// The samples below `events/`, by function.
pub(super) async fn samples() -> Response {
    let samples = known_samples();
    let samples = samples
        .iter()
        .map(|(function, case)| json!({ "function": function, "case": case }));
    Json(json!({ "samples": samples.collect::<Vec<_>>() })).into_response()
}

fn known_samples() -> Vec<(String, String)> {
    let names = |folder: &std::path::Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let names = entries.filter_map(|it| it.ok()?.file_name().into_string().ok());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let events = workspace().join("events");
    let functions = names(&events).into_iter();
    let samples = functions.flat_map(|function| {
        let cases = names(&events.join(&function)).into_iter();
        cases.filter_map(move |file| {
            let case = file.strip_suffix(".json")?.to_owned();
            Some((function.clone(), case))
        })
    });
    samples.collect()
}

/// Which sample.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample {
    function: String,
    case: String,
}

pub(super) async fn sample(
    State(console): Shared,
    asked: Result<Json<Sample>, JsonRejection>,
) -> Response {
    let Json(Sample { function, case }) = match asked {
        Ok(asked) => asked,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why.body_text()),
    };
    // Only what is listed is read.
    if !known_samples().contains(&(function.clone(), case.clone())) {
        let why = format!("There is no sample events/{function}/{case}.json.");
        return refusal(StatusCode::NOT_FOUND, &why);
    }
    let path = workspace()
        .join("events")
        .join(&function)
        .join(format!("{case}.json"));
    let event = match remote::sample(&console.info, &path).await {
        Ok(event) => event,
        Err(why) => return refusal(StatusCode::BAD_GATEWAY, &why),
    };
    let payload = Bytes::from(event.to_string());
    match console.lambda.invoke(&function, payload).await {
        Ok(output) => ran(&function, &output),
        Err(error) => refusal(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

/// How an invocation went; its flow has its id.
fn ran(function: &str, output: &InvokeOutput) -> Response {
    let answer: Value = serde_json::from_slice(&output.payload).unwrap_or_default();
    let status = answer["statusCode"].as_u64();
    let failed = answer["batchItemFailures"].as_array().map_or(0, Vec::len);
    let said = match (output.function_error, status) {
        (Some(FunctionError::Handled), _) => format!("{function} returned an error."),
        (Some(FunctionError::Unhandled), _) => format!("{function} died or ran out of time."),
        (None, Some(status)) => format!("{function} answered {status}."),
        (None, None) if failed > 0 => format!("{function} reported {failed} as failed."),
        (None, None) => format!("{function} ran."),
    };
    let went_well =
        output.function_error.is_none() && failed == 0 && status.is_none_or(|status| status < 400);
    let flow = &output.request_id;
    Json(json!({ "said": said, "ok": went_well, "flow": flow })).into_response()
}
