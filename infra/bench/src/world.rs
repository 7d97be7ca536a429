//! A stack with a university, and what is asked of it.

use std::ops::Deref;

use bitflow_local::stack::{Settings, Stack};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use reqwest::{Client, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::Error;

/// A running stack, where nobody makes too many requests.
pub struct World {
    stack: Stack,
    http: Client,
}

/// A university of it.
#[derive(Debug, Clone)]
pub struct University {
    /// Its id.
    pub id: String,
    /// Where its portal is.
    pub domain: String,
    /// What its portal signs with.
    pub secret: SecretString,
}

impl Deref for World {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl World {
    /// Starts it, on free ports.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        Ok(Self {
            stack: Stack::start(settings.without_limits()).await?,
            http: Client::new(),
        })
    }

    /// Waits until nothing is going on any more.
    pub async fn settle(&self) -> Result<(), Error> {
        let settled = self.stack.settle().await;
        settled.map_err(|pending| format!("it did not settle: {pending:?}").into())
    }

    /// Gets a path as an admin.
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.as_admin(self.http.get(self.url(path))).await
    }

    /// Posts to a path as an admin.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.as_admin(self.http.post(self.url(path)).json(body))
            .await
    }

    /// Posts to a path as the portal of a university, which signs it.
    pub async fn post_signed(
        &self,
        path: &str,
        body: &Value,
        from: &University,
    ) -> Result<Value, Error> {
        let body = body.to_string();
        let signature = bitflow_university::sign(&from.secret, body.as_bytes(), now());
        let request = self
            .http
            .post(self.url(path))
            .header("content-type", "application/json")
            .header("x-signature", signature)
            .body(body);
        send(request).await
    }

    /// Onboards a university of that name.
    pub async fn onboard(&self, name: &str) -> Result<University, Error> {
        let domain = format!("portal.{name}.example");
        let new = json!({
            "name": name,
            "primary_email": format!("registrar@{name}.example"),
            "domain": domain,
            "storage_quota": 500_000_000_000_u64,
        });
        let made = self.post("/api/admin/universities", &new).await?;
        let secret = text(&made, "portal_secret")?;
        self.portal.set_secret_of(&domain, secret.clone().into());
        Ok(University {
            id: text(&made, "id")?,
            domain,
            secret: secret.into(),
        })
    }

    /// An open invoice of one item, made by an admin; its id at Stripe.
    pub async fn invoice(&self, university: &University) -> Result<String, Error> {
        let bill = json!({ "items": [{ "description": "Setup", "amount": 129_900 }] });
        let path = format!("/api/admin/universities/{}/invoices", university.id);
        text(&self.post(&path, &bill).await?, "stripe_invoice_id")
    }

    /// A plan that the monthly run bills, made by an admin.
    pub async fn manual_plan(&self, university: &University) -> Result<(), Error> {
        let plan = json!({ "amount": 9900, "description": "Campus", "days_until_due": 30 });
        let path = format!("/api/admin/universities/{}/subscriptions", university.id);
        self.post(&path, &plan).await.map(drop)
    }

    /// Runs a job as its schedule would at that time; it must end well.
    pub async fn fire(&self, job: &str, at: Timestamp) -> Result<(), Error> {
        let output = self.scheduler.fire(job, at).await?;
        match output.function_error {
            None => Ok(()),
            Some(_) => Err(output.log_tail.into()),
        }
    }

    /// Stops it; what was measured is known only when that went well, too.
    pub async fn stop<T>(self, measured: Result<T, Error>) -> Result<T, Error> {
        let stopped = self.stack.shutdown().await;
        let measured = measured?;
        stopped?;
        Ok(measured)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.info().api_url)
    }

    async fn as_admin(&self, request: RequestBuilder) -> Result<Value, Error> {
        send(request.bearer_auth(&self.info().admin_token)).await
    }
}

/// The first of a month, counted from the next: plans begin in the real one.
pub fn month(number: i64) -> Result<Timestamp, Error> {
    let today = Offset::UTC.to_datetime(now()).date();
    let month = today
        .first_of_month()
        .checked_add(Span::new().months(number))?;
    Ok(Offset::UTC.to_timestamp(month.at(0, 0, 0, 0))?)
}

/// A text of an answer, which must be there.
pub fn text(answer: &Value, name: &str) -> Result<String, Error> {
    let text = answer[name].as_str();
    Ok(text
        .ok_or_else(|| format!("no {name} in {answer}"))?
        .to_owned())
}

async fn send(request: RequestBuilder) -> Result<Value, Error> {
    let answer = request.send().await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(serde_json::from_slice(&body)?)
}

#[expect(clippy::disallowed_methods, reason = "the functions' own clock")]
fn now() -> Timestamp {
    Timestamp::now()
}
