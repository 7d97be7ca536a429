//! What an invoice bills, line by line.

use crate::money::{Currency, Money};

/// A line of an invoice, in the invoice's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What for.
    pub description: String,
    /// Minor units. Negative on Stripe's own credits.
    pub amount: i64,
}

/// What a line or a plan that we make says it is for: 1 to 500 characters, trimmed, without
/// control characters. <https://docs.stripe.com/api/invoiceitems/create>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(String);

/// The text is no description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 500 characters and no control characters")]
pub struct InvalidDescription;

impl Description {
    /// Reads a description of 1 to 500 characters, none of them a control character; surrounding
    /// white space is not part of it.
    pub fn parse(text: &str) -> Result<Self, InvalidDescription> {
        let text = text.trim();
        let fits = (1..=500).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDescription)
        }
    }
}

impl From<Description> for String {
    fn from(description: Description) -> Self {
        description.0
    }
}

/// An amount that we may charge, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge(i64);

/// The number is not an amount that we may charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a whole number of minor units (cents) from 1 to {}",
    Charge::MAX
)]
pub struct InvalidCharge;

impl Charge {
    /// Stripe takes up to eight digits. <https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>
    pub const MAX: i64 = 99_999_999;

    /// Checks an amount, minor units: 1 to [`MAX`](Self::MAX).
    pub fn new(amount: i64) -> Result<Self, InvalidCharge> {
        (1..=Self::MAX)
            .contains(&amount)
            .then_some(Self(amount))
            .ok_or(InvalidCharge)
    }

    /// Minor units.
    pub fn get(self) -> i64 {
        self.0
    }
}

/// The number is no term of payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number of days from 1 to 365")]
pub struct InvalidTerm;

/// Checks how many days there are to pay: 1 to 365.
pub fn days_until_due(days: u64) -> Result<u16, InvalidTerm> {
    match u16::try_from(days) {
        Ok(days @ 1..=365) => Ok(days),
        _ => Err(InvalidTerm),
    }
}

/// The lines of an invoice that we make, and what they come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    items: Vec<Item>,
    total: Money,
}

/// Why lines make no invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLines {
    /// None, or too many.
    #[error("must have 1 to {} items", Lines::MOST)]
    Count,
    /// More in all than Stripe charges at once.
    #[error("must come to at most {} in all", Charge::MAX)]
    Total,
}

impl Lines {
    /// Most lines of one invoice: each is one call to Stripe, within one request's time.
    pub const MOST: usize = 50;

    /// Checks lines that are right each: that there are 1 to [`MOST`](Self::MOST), and that they
    /// come to no more than one [`Charge`] may.
    pub fn new(
        lines: impl IntoIterator<Item = (Description, Charge)>,
        currency: Currency,
    ) -> Result<Self, InvalidLines> {
        let items: Vec<Item> = lines
            .into_iter()
            .map(|(description, amount)| Item {
                description: description.into(),
                amount: amount.get(),
            })
            .collect();
        if !(1..=Self::MOST).contains(&items.len()) {
            return Err(InvalidLines::Count);
        }
        let total = items.iter().map(|item| item.amount).sum();
        if total > Charge::MAX {
            return Err(InvalidLines::Total);
        }
        Ok(Self {
            items,
            total: Money::new(total, currency),
        })
    }

    /// The lines, in the order they were given in.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// What they come to.
    pub fn total(&self) -> Money {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize, amount: i64) -> Result<i64, InvalidLines> {
        let line = (
            Description::parse("Storage").unwrap(),
            Charge::new(amount).unwrap(),
        );
        Lines::new(vec![line; count], Currency::USD).map(|lines| lines.total().amount)
    }

    #[test]
    fn lines_come_to_what_stripe_charges() {
        assert_eq!(lines(50, 100), Ok(5000));
        assert_eq!(lines(1, Charge::MAX), Ok(Charge::MAX));
        assert_eq!(lines(0, 1), Err(InvalidLines::Count));
        assert_eq!(lines(51, 1), Err(InvalidLines::Count));
        assert_eq!(lines(2, Charge::MAX), Err(InvalidLines::Total));
    }

    #[test]
    fn amounts_and_descriptions() {
        for wrong in [0, -1, i64::MIN, Charge::MAX + 1, i64::MAX] {
            assert_eq!(Charge::new(wrong), Err(InvalidCharge), "{wrong}");
        }
        assert!(Description::parse(" x ").is_ok());
        for wrong in ["", " ", "a\nb", &"x".repeat(501)] {
            assert_eq!(
                Description::parse(wrong),
                Err(InvalidDescription),
                "{wrong}"
            );
        }
    }
}
