//! Money: an integer of minor units and an ISO 4217 currency. Never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount in the minor unit of its currency (cents for USD, yen for JPY).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

/// `1234.50`: as many decimals as the currency has, and nothing else; what programs read.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.currency.decimals();
        let unit = 10_u64.pow(decimals);
        let minor = self.amount.unsigned_abs();
        let sign = if self.amount < 0 { "-" } else { "" };
        write!(f, "{sign}{}", minor / unit)?;
        match decimals {
            0 => Ok(()),
            width => write!(f, ".{:0width$}", minor % unit, width = width as usize),
        }
    }
}

impl Money {
    /// `amount` minor units of `currency`.
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }
}

/// An ISO 4217 code, upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// The text is not a currency code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a three-letter ISO 4217 currency code")]
pub struct InvalidCurrency;

impl Currency {
    /// US dollar, the contract's currency.
    pub const USD: Self = Self(*b"USD");

    /// Reads a code of three letters, in either case (Stripe writes lower case). Whether there is
    /// such a currency is not asked.
    pub fn parse(text: &str) -> Result<Self, InvalidCurrency> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| InvalidCurrency)?;
        if code.iter().all(u8::is_ascii_alphabetic) {
            Ok(Self(code.map(|letter| letter.to_ascii_uppercase())))
        } else {
            Err(InvalidCurrency)
        }
    }

    /// The code, upper case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many digits of a unit come after the point, as Stripe counts minor units, which is where
    /// amounts come from. <https://docs.stripe.com/currencies#zero-decimal>; ISK and UGX have no
    /// minor unit any more, and Stripe counts them in hundredths all the same (§ special cases).
    pub fn decimals(&self) -> u32 {
        match self.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF"
            | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }
}

impl Currency {
    /// Reads the code of a currency that an invoice can be made out in: one that Stripe supports.
    pub fn parse_billable(text: &str) -> Result<Self, NotBillable> {
        let currency = Self::parse(text).map_err(|_| NotBillable)?;
        let listed = BILLABLE
            .split_ascii_whitespace()
            .any(|code| code == currency.as_str());
        listed.then_some(currency).ok_or(NotBillable)
    }
}

/// The text is not the code of a currency that Stripe bills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the ISO 4217 code of a currency that Stripe supports, e.g. usd")]
pub struct NotBillable;

/// <https://docs.stripe.com/currencies#presentment-currencies>
const BILLABLE: &str = "\
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BIF BMD BND BOB BRL BSD BWP BYN BZD \
    CAD CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF \
    GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JPY KES KGS KHR KMF KRW KYD KZT LAK LBP LKR LRD \
    LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK \
    PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB TJS TOP \
    TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XOF XPF YER ZAR ZMW";

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidCurrency;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_letters_in_either_case() {
        assert_eq!(Currency::parse("usd"), Ok(Currency::USD));
        assert_eq!(Currency::parse("USD"), Ok(Currency::USD));
        for wrong in ["", "us", "usdd", "u$d", "€a"] {
            assert_eq!(Currency::parse(wrong), Err(InvalidCurrency), "{wrong}");
        }
    }

    #[test]
    fn only_what_stripe_supports_is_billable() {
        assert_eq!(Currency::parse_billable("usd"), Ok(Currency::USD));
        for wrong in ["XYZ", "usdollar", ""] {
            assert_eq!(Currency::parse_billable(wrong), Err(NotBillable), "{wrong}");
        }
    }

    #[test]
    fn money_travels_as_an_integer_and_a_code() {
        let json = serde_json::to_string(&Money::new(1999, Currency::USD)).unwrap();
        assert_eq!(json, r#"{"amount":1999,"currency":"USD"}"#);
        assert!(serde_json::from_str::<Money>(r#"{"amount":19.99,"currency":"USD"}"#).is_err());
    }

    #[test]
    fn amounts_for_programs() {
        for (amount, code, expect) in [
            (123_450, "USD", "1234.50"),
            (-5, "EUR", "-0.05"),
            (1234, "JPY", "1234"),
            (7, "BHD", "0.007"),
            (50_000, "UGX", "500.00"),
        ] {
            let currency = Currency::parse(code).unwrap();
            assert_eq!(Money::new(amount, currency).to_string(), expect);
        }
    }
}
