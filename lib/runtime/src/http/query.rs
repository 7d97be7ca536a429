//! Query strings: every wrong parameter is found before any is refused.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::extract::{FromRequestParts, Query as Pairs};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bitflow_fault::Violation;

use super::problem::Problem;

/// The parameters of a query string. Take each, then [`finish`](Self::finish).
#[derive(Debug)]
pub struct Parameters {
    left: BTreeMap<String, String>,
    wrong: Vec<Violation>,
}

impl Parameters {
    pub(crate) fn of(left: BTreeMap<String, String>) -> Self {
        Self {
            left,
            wrong: Vec::new(),
        }
    }

    /// A parameter that may be there and that `parse` must then take.
    pub fn optional<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(&self.left.remove(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong.push(Violation::new(name, error.to_string()));
                None
            }
        }
    }

    /// A parameter that must be there and that `parse` must take.
    pub fn required<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if !self.left.contains_key(name) {
            self.wrong.push(Violation::new(name, "is required"));
        }
        self.optional(name, parse)
    }

    /// 422 with all that is wrong, if anything is.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.left) {
            self.wrong
                .push(Violation::new(name, "is not a parameter of this request"));
        }
        if self.wrong.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.wrong))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match Pairs::<BTreeMap<String, String>>::from_request_parts(parts, state).await {
            Ok(Pairs(left)) => Ok(Self::of(left)),
            Err(_) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "The query string cannot be read.",
            )),
        }
    }
}
