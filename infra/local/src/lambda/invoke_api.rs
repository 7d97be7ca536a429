//! The Invoke operation, as SDKs and `cargo lambda invoke` call it.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::{FunctionError, InvokeError, InvokeOutput, Lambda};

/// `POST /2015-03-31/functions/{name}/invocations`.
pub fn router(lambda: Lambda) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .layer(DefaultBodyLimit::disable())
        .with_state(lambda)
}

async fn invoke(
    State(lambda): State<Lambda>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers
        .get("x-amz-invocation-type")
        .and_then(|value| value.to_str().ok());
    let payload = if body.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        body
    };
    if serde_json::from_slice::<serde::de::IgnoredAny>(&payload).is_err() {
        let message = "Could not parse request body into json";
        return refusal(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            message,
        );
    }
    let trace = headers.get("x-amzn-trace-id");
    let trace = trace.and_then(|value| value.to_str().ok());
    let trace = trace.map(str::to_owned);
    match kind.unwrap_or("RequestResponse") {
        "RequestResponse" => match lambda.invoke_traced(&name, payload, trace).await {
            Ok(output) => {
                let wants_log = headers
                    .get("x-amz-log-type")
                    .is_some_and(|value| value == "Tail");
                answer(output, wants_log)
            }
            Err(error) => refused(&error),
        },
        "Event" => match lambda.invoke_later(&name, payload) {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(error) => refused(&error),
        },
        "DryRun" => match lambda.host(&name) {
            Ok(_) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => refused(&error),
        },
        other => refusal(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            &format!("{other} is not an invocation type"),
        ),
    }
}

fn answer(output: InvokeOutput, wants_log: bool) -> Response {
    let mut response = output.payload.into_response();
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("content-type", "application/json");
    set("x-amz-executed-version", "$LATEST");
    set("x-amzn-requestid", &output.request_id);
    if let Some(error) = output.function_error {
        let word = match error {
            FunctionError::Handled => "Handled",
            FunctionError::Unhandled => "Unhandled",
        };
        set("x-amz-function-error", word);
    }
    if wants_log {
        set("x-amz-log-result", &BASE64.encode(output.log_tail));
    }
    response
}

fn refused(error: &InvokeError) -> Response {
    let (status, code) = match error {
        InvokeError::NoFunction(_) => (StatusCode::NOT_FOUND, "ResourceNotFoundException"),
        InvokeError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException"),
        InvokeError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "ServiceException"),
        InvokeError::Start { .. } => (StatusCode::BAD_GATEWAY, "InvalidRuntimeException"),
    };
    refusal(status, code, &error.to_string())
}

fn refusal(status: StatusCode, code: &'static str, message: &str) -> Response {
    let body = json!({ "Type": "User", "Message": message }).to_string();
    let headers = [
        ("x-amzn-errortype", code),
        ("content-type", "application/json"),
    ];
    (status, headers, body).into_response()
}
