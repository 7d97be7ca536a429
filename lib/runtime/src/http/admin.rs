//! Who is asking: the claims that the HTTP API's JWT authorizer has verified.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use lambda_http::RequestExt;
use lambda_http::request::RequestContext;

use super::problem::Problem;

/// A person with an admin token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The token's subject.
    pub subject: String,
    /// The person's name, where the token tells it.
    pub name: Option<String>,
    scopes: Vec<String>,
}

impl Admin {
    /// Refuses with 403 without `scope`. The authorizer checks the same; a route that forgot it in
    /// the template is still closed.
    pub fn needs(&self, scope: &str) -> Result<(), Problem> {
        if self.scopes.iter().any(|held| held == scope) {
            Ok(())
        } else {
            Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!("The token lacks the scope {scope}."),
            ))
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let unknown = || {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "The request carries no verified token.",
            )
        };
        let RequestContext::ApiGatewayV2(context) =
            parts.request_context_ref().ok_or_else(unknown)?
        else {
            return Err(unknown());
        };
        let jwt = context
            .authorizer
            .as_ref()
            .and_then(|authorizer| authorizer.jwt.as_ref());
        let claims = &jwt.ok_or_else(unknown)?.claims;
        let subject = claims
            .get("sub")
            .filter(|subject| !subject.is_empty())
            .ok_or_else(unknown)?;
        let scopes = claims
            .get("scope")
            .or_else(|| claims.get("scp"))
            .map_or("", String::as_str);
        Ok(Self {
            subject: subject.clone(),
            name: claims.get("name").filter(|it| !it.is_empty()).cloned(),
            // API Gateway flattens a claim that is an array to `[a b]`.
            scopes: scopes
                .trim_matches(['[', ']'])
                .split([' ', ','])
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }
}
