//! Bodies that may be a form as well as JSON: what browsers' libraries send.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde_json::{Map, Value};

use super::fields::{self, Fields};
use super::problem::Problem;

/// [`Fields`] of a JSON object, or of an `application/x-www-form-urlencoded` body, whose values are
/// strings. Of a name that comes twice the last counts.
#[derive(Debug)]
pub struct FormFields(pub Fields);

impl<S: Send + Sync> FromRequest<S> for FormFields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Fields::from_request(request, state).await.map(Self);
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| fields::too_large())?;
        if body.len() > fields::MAX_BODY {
            return Err(fields::too_large());
        }
        let pairs = url::form_urlencoded::parse(&body);
        let object: Map<String, Value> = pairs
            .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
            .collect();
        Ok(Self(Fields::new(object)))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;

    use super::*;

    async fn check(kind: &str, body: &str, expect: Result<&str, StatusCode>) {
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body.to_owned()))
            .unwrap();
        let seen = match FormFields::from_request(request, &()).await {
            Ok(FormFields(mut fields)) => {
                let text = fields.text("socket_id", |text| Ok::<_, &str>(text.to_owned()));
                fields.finish(|| text)
            }
            Err(problem) => Err(problem),
        };
        let seen = seen.map_err(|problem| problem.status());
        assert_eq!(seen, expect.map(str::to_owned), "{kind}: {body}");
    }

    #[tokio::test]
    async fn forms_and_json() {
        let form = "application/x-www-form-urlencoded; charset=UTF-8";
        check(form, "socket_id=1.2", Ok("1.2")).await;
        check(form, "socket_id=a%20b%26+c", Ok("a b& c")).await;
        check("application/json", r#"{"socket_id":"1.2"}"#, Ok("1.2")).await;
        let invalid = Err(StatusCode::UNPROCESSABLE_ENTITY);
        check(form, "socket_id=1.2&other=1", invalid).await;
        check(form, "", invalid).await;
        let unknown = Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        check("text/plain", "socket_id=1.2", unknown).await;
        let long = format!("socket_id={}", "1".repeat(fields::MAX_BODY));
        check(form, &long, Err(StatusCode::PAYLOAD_TOO_LARGE)).await;
    }
}
