//! The one AWS endpoint: who is meant is told by `X-Amz-Target`, by the path, or else it is S3.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Identity;
use super::calls::Calls;
use super::dynamodb::DynamoDb;
use super::eventbridge::EventBridge;
use super::iam::needs::{self, Need};
use super::iam::{self, Denied, Iam};
use super::s3::S3;
use super::sqs::{self, Sqs};
use crate::console::noted::Noted;
use crate::console::recorder::Recorder;
use crate::lambda::gate::asked_of_s3;

/// The services behind the endpoint.
#[derive(Clone)]
pub struct Services {
    /// Tables and streams.
    pub dynamodb: DynamoDb,
    /// Queues.
    pub sqs: Sqs,
    /// Buses.
    pub eventbridge: EventBridge,
    /// Buckets.
    pub s3: S3,
    /// Forwards to dynoxide.
    pub http: reqwest::Client,
    /// Who may do what.
    pub iam: Iam,
    /// Where the stack says it is.
    pub identity: Identity,
    /// Counts what is asked for.
    pub calls: Calls,
    /// Told of every call of a function.
    pub recorder: Recorder,
}

impl Services {
    /// Counts a call by whoever has this access key.
    fn count(&self, access_key_id: Option<&str>, service: &str, operation: &str) {
        let function = self.iam.function(access_key_id);
        self.calls.count(function, service, operation);
    }
}

/// The endpoint's routes; `lambda` serves `/2015-03-31/functions/…`.
pub fn router(services: Services, lambda: Router) -> Router {
    let lambda = lambda.route_layer(from_fn_with_state(services.clone(), may_invoke));
    Router::new()
        .fallback(dispatch)
        .layer(DefaultBodyLimit::disable())
        .with_state(services)
        .merge(lambda)
}

/// An error in AWS's JSON form.
#[derive(Debug, Clone)]
pub struct ServiceError {
    code: String,
    message: String,
    query_error: Option<String>,
    status: StatusCode,
    /// What the message is called: not everywhere the same.
    message_name: &'static str,
}

impl ServiceError {
    /// `code` as the service's documentation names it.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            query_error: None,
            status: StatusCode::BAD_REQUEST,
            message_name: "message",
        }
    }

    /// Nothing grants the caller this.
    pub fn denied(denied: &Denied) -> Self {
        let code = "com.amazon.coral.service#AccessDeniedException";
        Self {
            message_name: "Message",
            ..Self::new(code, denied.to_string())
        }
    }

    /// The service has no such operation, or the stack does not know it.
    pub fn unknown_operation(service: &str, operation: &str) -> Self {
        Self::new(
            "UnknownOperationException",
            format!("The local stack does not know {service}.{operation}."),
        )
    }

    /// SQS's SDKs recognise its errors by a header with the code of the older protocol.
    #[must_use]
    pub fn with_query_error(self, code: &str) -> Self {
        Self {
            query_error: Some(format!("{code};Sender")),
            ..self
        }
    }

    /// The caller is not let in: 403.
    #[must_use]
    pub fn forbidden(self) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            ..self
        }
    }

    /// What is asked about is not there: 404.
    #[must_use]
    pub fn not_found(self) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            ..self
        }
    }

    /// The code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let body = json!({ "__type": self.code, self.message_name: self.message });
        let mut response = json_response(self.status, &body);
        if let Some(value) = self
            .query_error
            .and_then(|it| HeaderValue::from_str(&it).ok())
        {
            response.headers_mut().insert("x-amzn-query-error", value);
        }
        response
    }
}

/// Serves one call, and has it noted.
async fn dispatch(State(services): State<Services>, request: Request) -> Response {
    let target = request
        .headers()
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let Some(target) = target
        .filter(|target| target.contains('.'))
        .map(str::to_owned)
    else {
        let (method, uri) = (request.method().as_str(), request.uri());
        let what = asked_of_s3(method, uri.path(), uri.query().unwrap_or_default());
        let caller = iam::access_key_id(request.headers(), uri);
        let operation = what.split(' ').next().unwrap_or_default();
        let operation = operation.trim_start_matches("S3.");
        services.count(caller.as_deref(), "S3", operation);
        let noted = services.recorder.call_of_s3(request.headers(), &what);
        let answer = services.s3.serve(request).await;
        if let Some(noted) = noted {
            noted.answered(answer.status().as_u16(), None);
        }
        return answer;
    };
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let Ok(body) = axum::body::to_bytes(request.into_body(), usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let caller = iam::access_key_id(&headers, &uri);
    let noted = services.recorder.call(&headers, &target, &body);
    let served = serve(services, caller.as_deref(), &target, headers, body);
    let answer = Noted::serving(noted.as_ref(), served).await;
    match noted {
        Some(noted) => answered(noted, answer).await,
        None => answer,
    }
}

/// Notes an answer; what is wrong is in its body.
async fn answered(noted: Noted, answer: Response) -> Response {
    let status = answer.status().as_u16();
    if status < 400 {
        noted.answered(status, None);
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    let error: Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = error["__type"]
        .as_str()
        .and_then(|it| it.rsplit('#').next());
    noted.answered(status, code);
    Response::from_parts(parts, body.into())
}

async fn serve(
    services: Services,
    caller: Option<&str>,
    target: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (service, operation) = target.split_once('.').unwrap_or((target, ""));
    services.count(caller, service, operation);
    let (service, operation) = (service.to_owned(), operation.to_owned());
    let is_function = services.iam.is_function(caller);
    if service.starts_with("DynamoDB") {
        if is_function {
            let needs = needs::dynamodb(&services.identity, &operation, &body);
            if let Err(denied) = services.iam.check(caller, &needs) {
                return ServiceError::denied(&denied).into_response();
            }
        }
        // On a task of its own: a client that dies must not keep the streams from being woken.
        let caller = caller.map(str::to_owned);
        let served = tokio::spawn(async move {
            dynamodb(&services, caller.as_deref(), &operation, headers, body).await
        });
        return served
            .await
            .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
    let body: Value = if body.is_empty() {
        json!({})
    } else {
        match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(error) => {
                return ServiceError::new("SerializationException", error.to_string())
                    .into_response();
            }
        }
    };
    if is_function && let Err(denied) = may_call(&services, caller, &service, &operation, &body) {
        return denied.into_response();
    }
    let served = match service.as_str() {
        "AmazonSQS" => sqs::serve(&services.sqs, &operation, &body).await,
        "AWSEvents" => services.eventbridge.serve(&operation, &body),
        other => Err(ServiceError::unknown_operation(other, &operation)),
    };
    match served {
        Ok(body) => json_response(StatusCode::OK, &body),
        Err(error) => error.into_response(),
    }
}

/// Whether a function may make a call of SQS or EventBridge.
fn may_call(
    services: &Services,
    caller: Option<&str>,
    service: &str,
    operation: &str,
    body: &Value,
) -> Result<(), ServiceError> {
    let Services { iam, identity, .. } = services;
    if service == "AmazonSQS" {
        let denied = iam.check(caller, &needs::sqs(identity, operation, body));
        return denied.map_err(|denied| {
            // SQS says it in lower case.
            let action = denied.action.to_lowercase();
            let denied = Denied { action, ..denied };
            let error = ServiceError::denied(&denied).with_query_error("AccessDenied");
            error.forbidden()
        });
    }
    let needs = match service {
        "AWSEvents" => needs::events(identity, operation, body),
        other => vec![Need::new(format!("{other}:{operation}"), "*".to_owned())],
    };
    let checked = iam.check(caller, &needs);
    checked.map_err(|denied| ServiceError::denied(&denied))
}

/// Lets a function invoke another one where it is granted.
async fn may_invoke(
    State(Services { iam, identity, .. }): State<Services>,
    request: Request,
    next: Next,
) -> Response {
    let caller = iam::access_key_id(request.headers(), request.uri());
    // `/2015-03-31/functions/{name}/invocations`
    let name = request.uri().path().split('/').nth(3).unwrap_or_default();
    let name = name.rsplit(':').next().unwrap_or(name);
    let arn = identity.arn("lambda", &format!("function:{name}"));
    let need = Need::new("lambda:InvokeFunction", arn);
    match iam.check(caller.as_deref(), &[need]) {
        Ok(()) => next.run(request).await,
        Err(denied) => ServiceError::denied(&denied).forbidden().into_response(),
    }
}

async fn dynamodb(
    services: &Services,
    caller: Option<&str>,
    operation: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if services.dynamodb.refuses() {
        let error = ServiceError::new("InternalServerError", "simulated").into_response();
        return with_status(StatusCode::INTERNAL_SERVER_ERROR, error);
    }
    let _writing = services.dynamodb.begins(operation, &body);
    let body = services.calls.asking(operation, body);
    let mut forwarded = services.http.post(services.dynamodb.url()).body(body);
    for (name, value) in &headers {
        if !matches!(*name, header::HOST | header::CONTENT_LENGTH) {
            forwarded = forwarded.header(name, value);
        }
    }
    let answered = async {
        let answer = forwarded.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
    };
    match answered.await {
        Ok((status, mut headers, body)) => {
            headers.remove(header::TRANSFER_ENCODING);
            let function = services.iam.function(caller);
            services.calls.add_units(function, operation, &body);
            (status, headers, body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "DynamoDB did not answer");
            let error = ServiceError::new("InternalServerError", "DynamoDB did not answer.");
            with_status(StatusCode::INTERNAL_SERVER_ERROR, error.into_response())
        }
    }
}

fn with_status(status: StatusCode, mut response: Response) -> Response {
    *response.status_mut() = status;
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            "application/x-amz-json-1.0".to_owned(),
        ),
        (
            header::HeaderName::from_static("x-amzn-requestid"),
            uuid::Uuid::new_v4().to_string(),
        ),
    ];
    (status, headers, body.to_string()).into_response()
}
