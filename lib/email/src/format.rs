//! Amounts and times as people read them.

use jiff::Timestamp;

/// An amount of money in minor units, for display only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// Minor units.
    pub minor: i64,
    /// ISO 4217 code, upper case.
    pub currency: String,
}

impl Amount {
    /// `USD 1,234.50`: the code, thousands separated, as many decimals as the currency has.
    pub fn display(&self) -> String {
        let decimals = decimals(&self.currency);
        let unit = 10_u64.pow(decimals);
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
        let fraction = match decimals {
            0 => String::new(),
            width => format!(".{part:0width$}", width = width as usize),
        };
        format!("{} {sign}{grouped}{fraction}", self.currency)
    }
}

/// `15 November 2025, 02:00 UTC`.
pub fn time(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

/// Decimals of a currency as Stripe counts its minor unit, which is where amounts come from.
/// <https://docs.stripe.com/currencies#zero-decimal>; ISK and UGX have no minor unit any more, and
/// Stripe counts them in hundredths all the same (§ special cases).
fn decimals(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(minor: i64, currency: &str, expect: &str) {
        assert_eq!(
            Amount {
                minor,
                currency: currency.to_owned()
            }
            .display(),
            expect
        );
    }

    #[test]
    fn amounts() {
        check(0, "USD", "USD 0.00");
        check(5, "USD", "USD 0.05");
        check(123_456_789, "USD", "USD 1,234,567.89");
        check(100_000, "EUR", "EUR 1,000.00");
        check(-1250, "USD", "USD -12.50");
        check(1234, "JPY", "JPY 1,234");
        check(1234, "KWD", "KWD 1.234");
        check(50_000, "UGX", "UGX 500.00");
        check(7, "BHD", "BHD 0.007");
        check(i64::MIN, "JPY", "JPY -9,223,372,036,854,775,808");
    }

    #[test]
    fn times() {
        let at = Timestamp::from_second(1_762_999_200).unwrap();
        assert_eq!(time(at), "13 November 2025, 02:00 UTC");
    }
}
