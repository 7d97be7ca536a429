//! The tour: what a newcomer watches, each step held to what it promises.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};

use crate::stack::{Info, STACK_NAME, STRIPE_SECRET, dynamo};

/// How long a step may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes the tour on a running stack; an error where any step did not hold.
pub async fn run(info: &Info) -> Result<(), String> {
    let tour = Tour {
        info,
        http: reqwest::Client::new(),
        started: Instant::now(),
    };
    let slug = format!("demo-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);

    let new = json!({
        "name": "Uppsala universitet",
        "primary_email": format!("registrar@{slug}.example"),
        "domain": format!("portal.{slug}.example"),
        "storage_quota": 500_000_000_000_u64,
    });
    let step = Instant::now();
    let university = tour
        .api(Method::POST, "/api/admin/universities", Some(&new))
        .await?;
    let id = text(&university["id"]);
    tour.tick(
        step,
        "POST /api/admin/universities",
        &format!("university {id}"),
    );

    let path = format!("/api/admin/universities/{id}");
    let step = Instant::now();
    let customer = tour
        .until("the Stripe customer", async || {
            let university = tour.api(Method::GET, &path, None).await.ok()?;
            university["stripe_customer_id"].as_str().map(str::to_owned)
        })
        .await?;
    tour.tick(step, "Stripe customer created, its id stored", &customer);

    let step = Instant::now();
    let subject = tour.mail(&slug, "Welcome").await?;
    tour.tick(step, "welcome mail in the mailbox", &subject);

    let step = Instant::now();
    let line = tour.activity(&path, "university_created").await?;
    tour.tick(step, "activity written", &line);

    let paid = tour.invoice(&customer, &id, 129_900).await?;
    let step = Instant::now();
    tour.stripe(&format!("/_sim/invoices/{paid}/pay"), "")
        .await?;
    let line = tour.activity(&path, "payment_processed").await?;
    tour.holds(&paid, &id, "paid").await?;
    tour.tick(step, "Stripe reports a payment: invoice open → paid", &line);

    let failed = tour.invoice(&customer, &id, 4_950).await?;
    let step = Instant::now();
    tour.stripe(&format!("/_sim/invoices/{failed}/fail"), "")
        .await?;
    let line = tour.activity(&path, "payment_failed").await?;
    tour.holds(&failed, &id, "failed").await?;
    tour.tick(
        step,
        "Stripe reports a failure: invoice open → failed",
        &line,
    );

    let step = Instant::now();
    let subject = tour.mail(&slug, "Payment failed").await?;
    tour.tick(step, "mail for the failure in the mailbox", &subject);

    let step = Instant::now();
    let payments = tour.payments(&id).await?;
    if payments.len() != 1 {
        return Err(format!(
            "one payment was made, and {} are stored",
            payments.len()
        ));
    }
    tour.tick(
        step,
        "the books",
        &format!("1 payment, {} {}", payments[0].0, payments[0].1),
    );
    println!(
        "\nAll of it held, in {} ms.",
        tour.started.elapsed().as_millis()
    );
    Ok(())
}

struct Tour<'a> {
    info: &'a Info,
    http: reqwest::Client,
    started: Instant,
}

impl Tour<'_> {
    fn tick(&self, since: Instant, what: &str, shown: &str) {
        let _ = self;
        println!(
            "  ✓ {what:<50} {:>6} ms   {shown}",
            since.elapsed().as_millis()
        );
    }

    async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let url = format!("{}{path}", self.info.api_url);
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(&self.info.admin_token);
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(path, request).await
    }

    /// A call of Stripe's API or of the simulator's controls.
    async fn stripe(&self, path: &str, form: &str) -> Result<Value, String> {
        let request = self
            .http
            .post(format!("{}{path}", self.info.stripe_url))
            .bearer_auth(STRIPE_SECRET)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        answer(path, request).await
    }

    /// An open invoice that was made at Stripe.
    async fn invoice(
        &self,
        customer: &str,
        university: &str,
        cents: i64,
    ) -> Result<String, String> {
        let form = format!("customer={customer}&metadata[university_id]={university}");
        let invoice = self.stripe("/v1/invoices", &form).await?;
        let id = text(&invoice["id"]);
        let item = format!(
            "customer={customer}&invoice={id}&amount={cents}&currency=usd&description=Campus"
        );
        self.stripe("/v1/invoiceitems", &item).await?;
        self.stripe(&format!("/v1/invoices/{id}/finalize"), "")
            .await?;
        Ok(id)
    }

    /// Waits for a mail to the tour's university; its subject.
    async fn mail(&self, slug: &str, begins: &str) -> Result<String, String> {
        let url = format!("{}/api/v1/messages", self.info.mailbox_url);
        self.until("the mail", async || {
            let mails: Value = self.http.get(&url).send().await.ok()?.json().await.ok()?;
            let mails = mails.as_array()?.iter();
            let mut subjects = mails
                .filter(|mail| text(&mail["to"]).contains(slug))
                .map(|mail| text(&mail["subject"]));
            subjects.find(|subject| subject.starts_with(begins))
        })
        .await
    }

    /// Waits for a line in the university's history; its description.
    async fn activity(&self, path: &str, kind: &str) -> Result<String, String> {
        self.until(kind, async || {
            let page = self
                .api(Method::GET, &format!("{path}/activity"), None)
                .await
                .ok()?;
            let lines = page["data"].as_array()?.iter();
            lines
                .into_iter()
                .find(|line| line["type"] == kind)
                .map(|line| text(&line["description"]))
        })
        .await
    }

    /// The stored invoice has this status.
    async fn holds(&self, stripe_id: &str, university: &str, status: &str) -> Result<(), String> {
        let rows = self.rows("invoices", university).await?;
        let attribute = |row: &std::collections::HashMap<String, AttributeValue>, name: &str| {
            row.get(name).and_then(|value| value.as_s().ok()).cloned()
        };
        let row = rows
            .iter()
            .find(|row| attribute(row, "stripe_invoice_id").as_deref() == Some(stripe_id));
        match row.and_then(|row| attribute(row, "status")) {
            Some(stored) if stored == status => Ok(()),
            other => Err(format!(
                "invoice {stripe_id} should be {status}, and is {other:?}"
            )),
        }
    }

    /// Amount in minor units and currency of each payment.
    async fn payments(&self, university: &str) -> Result<Vec<(String, String)>, String> {
        let rows = self.rows("payments", university).await?;
        let payments = rows.iter().filter_map(|row| {
            Some((
                row.get("amount")?.as_n().ok()?.clone(),
                row.get("currency")?.as_s().ok()?.clone(),
            ))
        });
        Ok(payments.collect())
    }

    async fn rows(
        &self,
        table: &str,
        university: &str,
    ) -> Result<Vec<std::collections::HashMap<String, AttributeValue>>, String> {
        let found = dynamo(&self.info.aws, &self.info.aws_url)
            .query()
            .table_name(format!("{STACK_NAME}-{table}"))
            .key_condition_expression("university_id = :university")
            .expression_attribute_values(":university", AttributeValue::S(university.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| format!("{table} could not be read: {error}"))?;
        Ok(found.items.unwrap_or_default())
    }

    /// Looks again and again until there is something to see.
    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look().await {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{what} did not come within {} s",
                    PATIENCE.as_secs()
                ));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

async fn answer(path: &str, request: reqwest::RequestBuilder) -> Result<Value, String> {
    let answer = request
        .send()
        .await
        .map_err(|error| format!("{path}: {error}"))?;
    let status = answer.status();
    let body = answer
        .text()
        .await
        .map_err(|error| format!("{path}: {error}"))?;
    if !status.is_success() {
        return Err(format!("{path} answered {status}: {body}"));
    }
    serde_json::from_str(&body).map_err(|error| format!("{path}: {error}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
