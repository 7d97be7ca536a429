//! What mails show, as people read it.

use std::fmt;

use jiff::Timestamp;
use url::Url;

use crate::message::one_line;

/// An amount of money in minor units, for display only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// Minor units.
    pub minor: i64,
    /// ISO 4217 code, upper case.
    pub currency: String,
    /// How many digits of a unit of it come after the point.
    pub decimals: u32,
}

/// `USD 1,234.50`: the code, thousands separated, as many decimals as the currency has.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(self.decimals);
        let (whole, part) = (
            self.minor.unsigned_abs() / unit,
            self.minor.unsigned_abs() % unit,
        );
        let digits = whole.to_string();
        let mut grouped = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        let sign = if self.minor < 0 { "-" } else { "" };
        let fraction = match self.decimals {
            0 => String::new(),
            width => format!(".{part:0width$}", width = width as usize),
        };
        write!(f, "{} {sign}{grouped}{fraction}", self.currency)
    }
}

/// A number of bytes, for display only: `500 GB`, as people count storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
        let mut unit = 0;
        let (mut whole, mut rest) = (self.0, 0);
        while whole >= 1000 && unit + 1 < UNITS.len() {
            (whole, rest) = (whole / 1000, whole % 1000);
            unit += 1;
        }
        match (rest / 100, whole) {
            (0, _) | (_, 100..) => write!(f, "{whole} {}", UNITS[unit]),
            (tenth, _) => write!(f, "{whole}.{tenth} {}", UNITS[unit]),
        }
    }
}

/// An invoice as mails speak of it: `invoice UU-0042`, or `your invoice` where it has no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice(Option<String>);

impl Invoice {
    /// The invoice of that number.
    pub fn new(number: Option<String>) -> Self {
        Self(number.map(|it| one_line(&it)).filter(|it| !it.is_empty()))
    }

    /// The number people read.
    pub fn number(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// As a sentence begins with it.
    pub fn titled(&self) -> String {
        match &self.0 {
            Some(number) => format!("Invoice {number}"),
            None => "Your invoice".to_owned(),
        }
    }
}

impl fmt::Display for Invoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(number) => write!(f, "invoice {number}"),
            None => f.write_str("your invoice"),
        }
    }
}

/// A web page that a mail links to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link(Url);

impl Link {
    /// Reads a URL; `None` where it is not one of the web: a mail links to nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .map(Self)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `15 November 2025`, the day in UTC.
pub fn date(at: &Timestamp) -> String {
    at.strftime("%-d %B %Y").to_string()
}

/// `15 November 2025, 02:00 UTC`.
pub fn time(at: &Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

/// Stripe's payment method type, as it follows "paid by": `card`, `SEPA direct debit`.
/// <https://docs.stripe.com/api/payment_methods/object#payment_method_object-type>
pub fn method(kind: &str) -> String {
    match kind {
        "card_present" => "card".to_owned(),
        "ach_credit_transfer" => "ACH credit transfer".to_owned(),
        "ach_debit" | "us_bank_account" => "US bank account (ACH)".to_owned(),
        "acss_debit" => "pre-authorized debit (Canada)".to_owned(),
        "amazon_pay" => "Amazon Pay".to_owned(),
        "au_becs_debit" => "BECS direct debit".to_owned(),
        "bacs_debit" => "Bacs direct debit".to_owned(),
        "bancontact" => "Bancontact".to_owned(),
        "cashapp" => "Cash App Pay".to_owned(),
        "customer_balance" => "bank transfer".to_owned(),
        "eps" => "EPS".to_owned(),
        "ideal" => "iDEAL".to_owned(),
        "link" => "Link".to_owned(),
        "p24" => "Przelewy24".to_owned(),
        "paypal" => "PayPal".to_owned(),
        "revolut_pay" => "Revolut Pay".to_owned(),
        "sepa_credit_transfer" => "SEPA credit transfer".to_owned(),
        "sepa_debit" => "SEPA direct debit".to_owned(),
        other => one_line(&other.replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(minor: i64, (currency, decimals): (&str, u32), expect: &str) {
        assert_eq!(
            Amount {
                minor,
                currency: currency.to_owned(),
                decimals,
            }
            .to_string(),
            expect
        );
    }

    #[test]
    fn amounts() {
        check(0, ("USD", 2), "USD 0.00");
        check(5, ("USD", 2), "USD 0.05");
        check(123_456_789, ("USD", 2), "USD 1,234,567.89");
        check(100_000, ("EUR", 2), "EUR 1,000.00");
        check(-1250, ("USD", 2), "USD -12.50");
        check(1234, ("JPY", 0), "JPY 1,234");
        check(1234, ("KWD", 3), "KWD 1.234");
        check(50_000, ("UGX", 2), "UGX 500.00");
        check(7, ("BHD", 3), "BHD 0.007");
        check(i64::MIN, ("JPY", 0), "JPY -9,223,372,036,854,775,808");
    }

    #[test]
    fn times() {
        let at = Timestamp::from_second(1_762_999_200).unwrap();
        assert_eq!(time(&at), "13 November 2025, 02:00 UTC");
    }

    #[test]
    fn dates() {
        let at = Timestamp::from_second(1_762_999_200).unwrap();
        assert_eq!(date(&at), "13 November 2025");
    }

    #[test]
    fn methods() {
        for (kind, expect) in [
            ("card", "card"),
            ("sepa_debit", "SEPA direct debit"),
            ("new_local_pay", "new local pay"),
            ("a\nb", "a b"),
        ] {
            assert_eq!(method(kind), expect);
        }
    }

    #[test]
    fn invoices_are_named_by_their_number() {
        let invoice = Invoice::new(Some("UU-1".to_owned()));
        assert_eq!(invoice.titled(), "Invoice UU-1");
        assert_eq!(invoice.to_string(), "invoice UU-1");
        let nameless = Invoice::new(Some(" ".to_owned()));
        assert_eq!(nameless, Invoice::new(None));
        assert_eq!(nameless.to_string(), "your invoice");
    }

    #[test]
    fn only_web_pages_are_linked_to() {
        let shown = |text| Link::parse(text).map(|link| link.to_string());
        let page = "https://invoice.stripe.com/i/acct_1/live_1?s=ap";
        assert_eq!(shown(page).as_deref(), Some(page));
        assert_eq!(
            shown("http://localhost:12111/i").as_deref(),
            Some("http://localhost:12111/i")
        );
        assert_eq!(
            shown("https://a.example/\"><b>\r\nx").as_deref(),
            Some("https://a.example/%22%3E%3Cb%3Ex")
        );
        for wrong in [
            "",
            "/i/1",
            "javascript:alert(1)",
            "data:text/html,x",
            "mailto:a@b",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_as_people_count_them() {
        for (bytes, expect) in [
            (1, "1 bytes"),
            (1500, "1.5 kB"),
            (500_000_000_000, "500 GB"),
            (1_099_511_627_776, "1 TB"),
            (1 << 50, "1.1 PB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), expect);
        }
    }
}
