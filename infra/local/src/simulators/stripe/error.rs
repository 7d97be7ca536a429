//! Stripe's error bodies. <https://docs.stripe.com/api/errors>

use axum::http::StatusCode;
use serde_json::{Value, json};

/// Why a request was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    decline_code: Option<String>,
    param: Option<String>,
    message: String,
    /// What was done before stays: a payment that was tried and failed was tried.
    pub(super) took_effect: bool,
}

impl ApiError {
    /// 400 `invalid_request_error`.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "invalid_request_error",
            code: None,
            decline_code: None,
            param: None,
            message: message.into(),
            took_effect: false,
        }
    }

    /// The same, with the parameter at fault.
    pub(super) fn param(param: &str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.to_owned()),
            ..Self::invalid(message)
        }
    }

    /// The same with a code and, perhaps, a parameter.
    pub(super) fn coded(
        code: &'static str,
        param: Option<&str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: Some(code),
            param: param.map(str::to_owned),
            ..Self::invalid(message)
        }
    }

    /// 404, or 400 where the object is named by a parameter.
    pub(super) fn no_such(kind: &str, id: &str, param: Option<&str>) -> Self {
        let error = Self::coded(
            "resource_missing",
            Some(param.unwrap_or("id")),
            format!("No such {kind}: '{id}'"),
        );
        let status = if param.is_some() {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::NOT_FOUND
        };
        Self { status, ..error }
    }

    /// 401.
    pub(super) fn unauthorized(message: &str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..Self::invalid(message)
        }
    }

    /// 404 for a path that is not there.
    pub(super) fn no_path(method: &str, path: &str) -> Self {
        let message = format!("Unrecognized request URL ({method}: {path}).");
        Self {
            status: StatusCode::NOT_FOUND,
            ..Self::invalid(message)
        }
    }

    /// 400 `idempotency_error`.
    pub(super) fn other_parameters(key: &str) -> Self {
        let message = format!(
            "Keys for idempotent requests can only be used with the same parameters they were first \
             used with. Try using a key other than '{key}' if you meant to execute a different request."
        );
        Self {
            kind: "idempotency_error",
            ..Self::invalid(message)
        }
    }

    /// 409: the first request under the key is still being answered.
    pub(super) fn key_in_use(key: &str) -> Self {
        let message = format!(
            "There is currently another in-progress request using this Idempotent Key (that probably \
             means you submitted twice, and the other request is still going through): {key}. Please \
             try again later."
        );
        Self {
            status: StatusCode::CONFLICT,
            kind: "idempotency_error",
            ..Self::coded("idempotency_key_in_use", None, message)
        }
    }

    /// 429. <https://docs.stripe.com/rate-limits>
    pub(super) fn rate_limited() -> Self {
        let message = "Request rate limit exceeded.";
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            ..Self::coded("rate_limit", None, message)
        }
    }

    /// What a failure of this status says that was not brought about by the request.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let error = match status.as_u16() {
            402 => Self::declined("generic_decline"),
            409 => Self::key_in_use("…"),
            429 => Self::rate_limited(),
            400..=499 => Self::invalid("The request was refused."),
            _ => Self {
                kind: "api_error",
                ..Self::invalid("An error occurred on our end.")
            },
        };
        Self { status, ..error }
    }

    /// 402 `card_error`. <https://docs.stripe.com/declines/codes>
    pub(super) fn declined(decline_code: &str) -> Self {
        Self {
            status: StatusCode::PAYMENT_REQUIRED,
            kind: "card_error",
            decline_code: Some(decline_code.to_owned()),
            took_effect: true,
            ..Self::coded("card_declined", None, "Your card was declined.")
        }
    }

    /// 402: the customer has to do something first.
    /// <https://docs.stripe.com/error-codes#invoice-payment-intent-requires-action>
    pub(super) fn requires_action() -> Self {
        let message = "Payment for this invoice requires additional user action before it can be \
                       completed successfully. Payment can be completed using the PaymentIntent \
                       associated with the invoice.";
        Self {
            status: StatusCode::PAYMENT_REQUIRED,
            kind: "card_error",
            took_effect: true,
            ..Self::coded("invoice_payment_intent_requires_action", None, message)
        }
    }

    /// Nothing of what was done before stays.
    pub(super) fn without_effect(self) -> Self {
        Self {
            took_effect: false,
            ..self
        }
    }

    pub(super) fn body(&self) -> Value {
        let mut error = json!({ "type": self.kind, "message": self.message });
        if let Some(code) = self.code {
            error["code"] = code.into();
            error["doc_url"] = format!(
                "https://stripe.com/docs/error-codes/{}",
                code.replace('_', "-")
            )
            .into();
        }
        if let Some(decline_code) = &self.decline_code {
            error["decline_code"] = decline_code.as_str().into();
        }
        if let Some(param) = &self.param {
            error["param"] = param.as_str().into();
        }
        json!({ "error": error })
    }
}
