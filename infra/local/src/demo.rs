//! The tour: what a newcomer watches, each step held to what it promises.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::stack::Info;

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

    let step = Instant::now();
    let plan = json!({ "amount": 99_000, "description": "Campus, monthly", "days_until_due": 30 });
    let made = tour
        .api(Method::POST, &format!("{path}/subscriptions"), Some(&plan))
        .await?;
    let shown = format!("billed from {}", text(&made["current_period_end"]));
    tour.tick(step, "POST …/subscriptions: a plan of 990 dollars", &shown);

    let step = Instant::now();
    let paid = tour.invoice(&path, 129_900).await?;
    let subject = tour.mail(&slug, "Invoice").await?;
    tour.tick(step, "POST …/invoices: at Stripe, mailed", &subject);

    let step = Instant::now();
    tour.stripe(&format!("/_sim/invoices/{}/pay", paid.stripe_id))
        .await?;
    let line = tour.activity(&path, "payment_processed").await?;
    tour.holds(&paid, "paid").await?;
    tour.tick(step, "Stripe reports a payment: invoice open → paid", &line);

    let failed = tour.invoice(&path, 4_950).await?;
    let step = Instant::now();
    tour.stripe(&format!("/_sim/invoices/{}/fail", failed.stripe_id))
        .await?;
    let line = tour.activity(&path, "payment_failed").await?;
    tour.holds(&failed, "failed").await?;
    tour.tick(
        step,
        "Stripe reports a failure: invoice open → failed",
        &line,
    );

    let step = Instant::now();
    let subject = tour.mail(&slug, "Payment failed").await?;
    tour.tick(step, "mail for the failure in the mailbox", &subject);

    let step = Instant::now();
    let path = format!("{path}/payments");
    let page = tour.api(Method::GET, &path, None).await?;
    let payments = page["data"].as_array().map_or(&[][..], Vec::as_slice);
    let [payment] = payments else {
        let count = payments.len();
        return Err(format!("one payment was made, and {count} are listed"));
    };
    let (amount, currency) = (&payment["amount"], text(&payment["currency"]));
    tour.tick(
        step,
        "the books",
        &format!("1 payment, {amount} {currency}"),
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

/// Where an invoice is, here and at Stripe.
struct Invoice {
    path: String,
    stripe_id: String,
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

    /// A control of Stripe's simulator.
    async fn stripe(&self, path: &str) -> Result<Value, String> {
        let url = format!("{}{path}", self.info.stripe_url);
        answer(path, self.http.post(url)).await
    }

    /// An invoice over `cents`, made by an admin.
    async fn invoice(&self, university: &str, cents: i64) -> Result<Invoice, String> {
        let body = json!({ "items": [{ "description": "Campus", "amount": cents }] });
        let path = format!("{university}/invoices");
        let made = self.api(Method::POST, &path, Some(&body)).await?;
        Ok(Invoice {
            path: format!("{path}/{}", text(&made["id"])),
            stripe_id: text(&made["stripe_invoice_id"]),
        })
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

    /// The invoice has this status.
    async fn holds(&self, invoice: &Invoice, status: &str) -> Result<(), String> {
        let now = self.api(Method::GET, &invoice.path, None).await?;
        if now["status"] == status {
            Ok(())
        } else {
            let (path, is) = (&invoice.path, &now["status"]);
            Err(format!("{path} should be {status}, and is {is}"))
        }
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
