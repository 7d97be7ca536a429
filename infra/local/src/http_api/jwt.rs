//! The local issuer of admin tokens, and the check that API Gateway makes of them.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html>

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use axum::Json;
use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value, json};

use crate::template::model;

/// The key's id in token headers.
const KEY_ID: &str = "local";

/// An issuer with one RSA key.
#[derive(Clone)]
pub struct Issuer {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    audience: String,
    encoding: EncodingKey,
    modulus: String,
    exponent: String,
}

/// Who a token is for, and what it allows.
#[derive(Debug, Clone)]
pub struct Grant {
    /// `sub`.
    pub subject: String,
    /// `name`.
    pub name: String,
    /// `email`.
    pub email: String,
    /// `scope`.
    pub scopes: Vec<String>,
    /// How long it is good.
    pub lifetime: SignedDuration,
}

/// Why API Gateway would not let a request through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 401: no token, or not a good one.
    Unauthorized,
    /// 403: a good token without any of the scopes.
    Forbidden,
}

/// The issuer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// Its key could not be read or kept.
    #[error("the token issuer's key could not be read or kept")]
    Key(#[source] std::io::Error),
    /// Its key is not one.
    #[error("the token issuer's key cannot be used: {0}; start with --reset")]
    Unusable(String),
}

impl Issuer {
    /// An issuer at `url`. Its key is kept in `folder`, so that tokens outlive a restart.
    ///
    /// # Errors
    /// Where the key in `folder` is none, it says to start with `--reset`.
    pub fn new(url: String, audience: String, folder: Option<&Path>) -> Result<Self, IssuerError> {
        let unusable = |error: &dyn std::fmt::Display| IssuerError::Unusable(error.to_string());
        let file = folder.map(|folder| folder.join("issuer.pem"));
        let kept = file
            .as_ref()
            .and_then(|file| std::fs::read_to_string(file).ok());
        let pem = if let Some(pem) = kept {
            pem
        } else {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|error| unusable(&error))?;
            let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)
                .map_err(|error| unusable(&error))?;
            let pem = pem(der.as_ref());
            if let Some(file) = &file {
                std::fs::write(file, &pem).map_err(IssuerError::Key)?;
            }
            pem
        };
        let lines: String = pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = STANDARD.decode(lines).map_err(|error| unusable(&error))?;
        let pair = RsaKeyPair::from_pkcs8(&der).map_err(|error| unusable(&error))?;
        let encoding =
            EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|error| unusable(&error))?;
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = pair.public_key();
        let modulus = part(public.modulus().big_endian_without_leading_zero());
        let exponent = part(public.exponent().big_endian_without_leading_zero());
        let inner = Inner {
            url,
            audience,
            encoding,
            modulus,
            exponent,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A signed token.
    pub fn mint(&self, grant: &Grant, now: Timestamp) -> String {
        let claims = json!({
            "iss": self.inner.url,
            "aud": self.inner.audience,
            "sub": grant.subject,
            "name": grant.name,
            "email": grant.email,
            "scope": grant.scopes.join(" "),
            "iat": now.as_second(),
            "exp": (now + grant.lifetime).as_second(),
        });
        let header = Header {
            kid: Some(KEY_ID.to_owned()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, &claims, &self.inner.encoding)
            .expect("the key was checked when it was read")
    }

    /// The claims of a token that API Gateway would take: RS256, our signature, the API's issuer
    /// and audience, and neither too old nor too young.
    pub(super) fn verify(
        &self,
        token: &str,
        api: &model::HttpApi,
        now: Timestamp,
    ) -> Result<Map<String, Value>, Refusal> {
        let key = DecodingKey::from_rsa_components(&self.inner.modulus, &self.inner.exponent)
            .map_err(|_| Refusal::Unauthorized)?;
        let mut validation = Validation::new(Algorithm::RS256);
        // Times are compared with the stack's clock below, `aud` with `client_id` as its stand-in.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let verified = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation);
        let claims = verified.map_err(|_| Refusal::Unauthorized)?.claims;
        let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
        let now = now.as_second();
        let audiences: Vec<&str> = match claims.get("aud").or_else(|| claims.get("client_id")) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one],
            _ => Vec::new(),
        };
        let good = claims.get("iss").and_then(Value::as_str) == Some(&api.issuer)
            && audiences
                .iter()
                .any(|one| api.audience.iter().any(|it| it == one))
            && seconds("exp").is_some_and(|exp| exp > now)
            && seconds("nbf").is_none_or(|nbf| nbf <= now)
            && seconds("iat").is_none_or(|iat| iat <= now);
        if good {
            Ok(claims)
        } else {
            Err(Refusal::Unauthorized)
        }
    }

    /// The issuer's discovery documents, under its URL.
    pub(super) fn router(&self) -> Router {
        let issuer = url::Url::parse(&self.inner.url)
            .map_or_else(|_| String::new(), |url| url.path().to_owned());
        let base = issuer.trim_end_matches('/').to_owned();
        let configuration = json!({
            "issuer": self.inner.url,
            "jwks_uri": format!("{}/.well-known/jwks.json", self.inner.url),
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
        });
        let keys = json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
            "n": self.inner.modulus, "e": self.inner.exponent,
        }]});
        Router::new()
            .route(
                &format!("{base}/.well-known/openid-configuration"),
                get(async move || Json(configuration)),
            )
            .route(
                &format!("{base}/.well-known/jwks.json"),
                get(async move || Json(keys)),
            )
    }
}

/// The scopes of a token: `scope`, or else `scp`; a list or words.
pub(super) fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(words)) => words.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn only_a_good_token_passes() {
        let issuer = Issuer::new("http://i".into(), "a".into(), None).unwrap();
        let other = Issuer::new("http://i".into(), "a".into(), None).unwrap();
        let api = |issuer: &str, audience: &str| model::HttpApi {
            issuer: issuer.to_owned(),
            audience: vec![audience.to_owned()],
            cors: None,
        };
        let grant = Grant {
            subject: "s".into(),
            name: "n".into(),
            email: "e".into(),
            scopes: vec!["x".into(), "y".into()],
            lifetime: SignedDuration::from_secs(60),
        };
        let token = issuer.mint(&grant, at(0));
        let claims = issuer
            .verify(&token, &api("http://i", "a"), at(59))
            .unwrap();
        assert_eq!(scopes(&claims), ["x", "y"]);
        assert_eq!(claims["sub"], "s");
        for (verifier, api, now, token) in [
            (&other, api("http://i", "a"), at(0), token.clone()),
            (&issuer, api("http://j", "a"), at(0), token.clone()),
            (&issuer, api("http://i", "b"), at(0), token.clone()),
            (&issuer, api("http://i", "a"), at(60), token.clone()),
            (&issuer, api("http://i", "a"), at(-1), token.clone()),
            (&issuer, api("http://i", "a"), at(0), format!("{token}x")),
            (&issuer, api("http://i", "a"), at(0), String::new()),
        ] {
            assert_eq!(
                verifier.verify(&token, &api, now),
                Err(Refusal::Unauthorized)
            );
        }
    }
}
