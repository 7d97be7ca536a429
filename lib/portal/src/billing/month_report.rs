//! A month's invoices and payments of all universities, as one CSV file.
//!
//! What was asked for is a file of its own, written before the message that has the report made: a
//! report that is known is made, however often the message comes, and it is the same file.

use std::collections::BTreeSet;

use bitflow_domain::billing::invoice::Invoice;
use bitflow_domain::billing::month::{Month, Period};
use bitflow_domain::billing::payment::Payment;
use bitflow_domain::id::{ReportId, UniversityId};
use bitflow_domain::university::UniversityStatus;
use bitflow_store::files::{FileKey, Files, SignedUrl};
use bitflow_store::invoices::Invoices;
use bitflow_store::page::{ListError, Page, PageRequest};
use bitflow_store::payments::Payments;
use bitflow_store::universities::Universities;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::enqueue::Queue;
use crate::error::{PortalError, load};
use crate::listen::ListenError;

/// How long a download's URL is good.
const DOWNLOADS_LAST: SignedDuration = SignedDuration::from_mins(30);

/// Most bytes of what was asked for.
const MOST_REQUEST: u64 = 4096;

/// Rows read at a time.
const PAGE: u16 = 500;

/// Universities read about at a time.
const AT_A_TIME: usize = 8;

const OPERATION: &str = "write monthly report";

/// The columns of the file.
const HEADER: [&str; 15] = [
    "record",
    "university_id",
    "university",
    "id",
    "invoice_id",
    "stripe_id",
    "number",
    "status",
    "currency",
    "amount",
    "amount_refunded",
    "created_at",
    "due_at",
    "paid_at",
    "method",
];

/// The message for one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportDue {
    /// Under which id it is asked for and found.
    pub report_id: ReportId,
    /// Of when.
    pub month: Month,
}

impl ReportDue {
    /// Reads a message's body.
    ///
    /// # Errors
    /// [`ListenError::Body`] for what is no such message, and stays none.
    pub fn from_json(body: &str) -> Result<Self, ListenError> {
        serde_json::from_str(body).map_err(ListenError::Body)
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRequest {
    /// Of when.
    pub month: Month,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// By whom: the admin's subject.
    pub requested_by: String,
}

/// A report, and where it can be fetched for a while; nowhere until it is made.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was asked for.
    pub request: ReportRequest,
    /// Where it is.
    pub url: Option<SignedUrl>,
}

/// Takes requests for reports.
#[derive(Debug)]
pub struct ReportDesk {
    /// Where they are.
    pub files: Files,
    /// Where they are made.
    pub queue: Queue,
}

impl ReportDesk {
    /// Has a report made. Again has it made again: the same file.
    ///
    /// # Errors
    /// [`PortalError::Queue`]: it is stored as asked for, and nobody makes it before it is asked
    /// for again.
    pub async fn request(&self, id: ReportId, request: &ReportRequest) -> Result<(), PortalError> {
        let text = serde_json::to_vec(request).expect("a month, a time and a text are JSON");
        self.files
            .put(
                &FileKey::report_request(id),
                text.into(),
                "application/json",
            )
            .await
            .map_err(load("request monthly report"))?;
        let due = ReportDue {
            report_id: id,
            month: request.month,
        };
        self.queue.send([due]).await.map(drop)
    }

    /// A report that was asked for.
    ///
    /// # Errors
    /// [`PortalError::NoReport`], also where what is stored of it cannot be read.
    pub async fn report(&self, id: ReportId, now: Timestamp) -> Result<Report, PortalError> {
        let load = load("show monthly report");
        let asked = self
            .files
            .get(&FileKey::report_request(id), MOST_REQUEST)
            .await
            .map_err(&load)?;
        let request = asked
            .and_then(|text| serde_json::from_slice(&text).ok())
            .ok_or(PortalError::NoReport(id))?;
        let file = FileKey::report(id);
        let url = if self.files.exists(&file).await.map_err(&load)? {
            let signed =
                self.files
                    .signed_get(&file, "text/csv; charset=utf-8", DOWNLOADS_LAST, now);
            Some(signed.await.map_err(&load)?)
        } else {
            None
        };
        Ok(Report { request, url })
    }
}

/// Makes reports.
#[derive(Debug)]
pub struct ReportWriter {
    /// Of whom.
    pub universities: Universities,
    /// What they were to pay.
    pub invoices: Invoices,
    /// What they paid.
    pub payments: Payments,
    /// Where it goes.
    pub files: Files,
}

/// A university, as a report names it.
struct Named {
    id: UniversityId,
    name: String,
}

impl ReportWriter {
    /// Makes a report: how many invoices and payments it has. Each university's come together,
    /// deleted ones last; what is owed is owed all the same. There is no file before all of it
    /// could be read.
    pub async fn write(&self, due: &ReportDue) -> Result<usize, PortalError> {
        let period = due.month.period();
        let rows: Vec<Vec<_>> = stream::iter(self.universities().await?)
            .map(|university| self.rows(university, period))
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        let rows: Vec<_> = rows.into_iter().flatten().collect();
        let mut file = csv::Writer::from_writer(Vec::new());
        let written = std::iter::once(HEADER.map(str::to_owned))
            .chain(rows.iter().cloned())
            .try_for_each(|row| file.write_record(row));
        written.expect("rows of one length, in memory");
        let file = file.into_inner().expect("in memory");
        let key = FileKey::report(due.report_id);
        let put = self.files.put(&key, file.into(), "text/csv; charset=utf-8");
        put.await.map_err(load(OPERATION))?;
        Ok(rows.len())
    }

    /// Every university once. Active ones are read before and after the deleted ones: one that is
    /// deleted or restored meanwhile is seen in one place or the other.
    async fn universities(&self) -> Result<Vec<Named>, PortalError> {
        use UniversityStatus::{Active, Deleted};
        let (mut seen, mut named) = (BTreeSet::new(), Vec::new());
        for status in [Active, Deleted, Active] {
            let mut page = PageRequest {
                limit: u8::MAX,
                cursor: None,
            };
            loop {
                let listed = self.universities.list(status, None, &page).await;
                let listed = listed.map_err(list)?;
                let news = listed.data.into_iter().filter(|it| seen.insert(it.id));
                named.extend(news.map(|university| Named {
                    id: university.id,
                    name: university.name.as_str().to_owned(),
                }));
                page.cursor = listed.next_cursor;
                if page.cursor.is_none() {
                    break;
                }
            }
        }
        Ok(named)
    }

    async fn rows(
        &self,
        university: Named,
        period: Period,
    ) -> Result<Vec<[String; HEADER.len()]>, PortalError> {
        let id = university.id;
        let invoices = all(async |cursor: Option<String>| {
            let of_period = self.invoices.of_period(id, period, PAGE, cursor.as_deref());
            of_period.await
        });
        let invoices = invoices.await?;
        let payments = all(async |cursor: Option<String>| {
            let of_period = self.payments.of_period(id, period, PAGE, cursor.as_deref());
            of_period.await
        });
        let payments = payments.await?;
        let invoices = invoices.iter().map(|it| row_of_invoice(&university, it));
        let payments = payments.iter().map(|it| row_of_payment(&university, it));
        Ok(invoices.chain(payments).collect())
    }
}

/// Every page of a list.
async fn all<T>(
    read: impl AsyncFn(Option<String>) -> Result<Page<T>, ListError>,
) -> Result<Vec<T>, PortalError> {
    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let page = read(cursor).await.map_err(list)?;
        listed.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(listed);
        }
    }
}

fn list(source: ListError) -> PortalError {
    PortalError::List {
        operation: OPERATION,
        source,
    }
}

fn row_of_invoice(university: &Named, invoice: &Invoice) -> [String; HEADER.len()] {
    [
        "invoice".to_owned(),
        university.id.to_string(),
        cell(&university.name),
        invoice.id.to_string(),
        invoice.id.to_string(),
        cell(&invoice.stripe_invoice_id),
        invoice.number.as_deref().map(cell).unwrap_or_default(),
        invoice.status.as_str().to_owned(),
        invoice.amount_due.currency.to_string(),
        invoice.amount_due.to_string(),
        String::new(),
        invoice.created_at.to_string(),
        invoice.due_at.to_string(),
        invoice.paid_at.map(|at| at.to_string()).unwrap_or_default(),
        String::new(),
    ]
}

fn row_of_payment(university: &Named, payment: &Payment) -> [String; HEADER.len()] {
    let refunded = bitflow_domain::money::Money {
        amount: payment.amount_refunded,
        ..payment.amount
    };
    let intent = payment.stripe_payment_intent_id.as_deref();
    [
        "payment".to_owned(),
        university.id.to_string(),
        cell(&university.name),
        payment.id.to_string(),
        payment.invoice_id.to_string(),
        intent.map(cell).unwrap_or_default(),
        String::new(),
        payment.status.as_str().to_owned(),
        payment.amount.currency.to_string(),
        payment.amount.to_string(),
        refunded.to_string(),
        String::new(),
        String::new(),
        payment.paid_at.to_string(),
        payment.method.as_deref().map(cell).unwrap_or_default(),
    ]
}

/// A text that no spreadsheet takes for a formula.
/// <https://owasp.org/www-community/attacks/CSV_Injection>
fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_no_formulas() {
        for (text, expect) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("Uppsala = Lund", "Uppsala = Lund"),
            ("", ""),
        ] {
            assert_eq!(cell(text), expect);
        }
    }
}
