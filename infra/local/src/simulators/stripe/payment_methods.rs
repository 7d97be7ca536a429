//! Payment methods, and how attempts to pay with them go.
//! <https://docs.stripe.com/api/payment_methods>

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::ApiError;
use super::state::State;

/// How an attempt to pay goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// The money comes.
    Succeeds,
    /// The bank refuses.
    Declines,
    /// The customer has to authenticate first.
    RequiresAction,
    /// There is no payment method.
    None,
}

/// What kind of payment method it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodType {
    /// A card.
    #[default]
    Card,
    /// A SEPA direct debit. Stripe takes days to know that it succeeded; here it is known at once.
    SepaDebit,
}

/// A customer's payment method to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentMethod {
    /// How attempts go.
    pub behaviour: Behaviour,
    /// Card or debit.
    #[serde(rename = "type", default)]
    pub kind: MethodType,
    /// Why the bank refuses; `generic_decline` where nothing is said.
    /// <https://docs.stripe.com/declines/codes>
    #[serde(default)]
    pub decline_code: Option<String>,
}

impl From<Behaviour> for PaymentMethod {
    fn from(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            kind: MethodType::default(),
            decline_code: None,
        }
    }
}

impl MethodType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::SepaDebit => "sepa_debit",
        }
    }

    /// The member of the same name of a payment method and of a charge's details.
    pub(super) fn details(self) -> Value {
        match self {
            Self::Card => json!({
                "brand": "visa", "country": "US", "exp_month": 8, "exp_year": 2040,
                "funding": "credit", "last4": "4242",
            }),
            Self::SepaDebit => json!({
                "bank_code": "37040044", "branch_code": "", "country": "DE", "last4": "3000",
            }),
        }
    }
}

/// Gives a customer a default payment method, or takes it away.
pub(super) fn set_default(
    state: &mut State,
    customer: &str,
    method: PaymentMethod,
    now: i64,
) -> Result<Value, ApiError> {
    let before = state.find("customer", customer, None)?;
    let id = match method.behaviour {
        Behaviour::None => Value::Null,
        _ => attach(state, customer, method, now)["id"].clone(),
    };
    let mut customer = before.clone();
    customer["invoice_settings"]["default_payment_method"] = id;
    state.put(customer.clone());
    state.raise("customer.updated", &customer, Some(&before), now);
    Ok(customer)
}

/// A new payment method of a customer.
pub(super) fn attach(state: &mut State, customer: &str, method: PaymentMethod, now: i64) -> Value {
    let object = state.get(customer).cloned().unwrap_or_default();
    let made = json!({
        "id": State::new_id("pm"),
        "object": "payment_method",
        "billing_details": { "email": object["email"], "name": object["name"], "phone": object["phone"] },
        "created": now,
        "customer": customer,
        "livemode": false,
        "metadata": {},
        "type": method.kind.name(),
        method.kind.name(): method.kind.details(),
    });
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    state.methods.insert(id, method);
    state.put(made.clone());
    state.raise("payment_method.attached", &made, None, now);
    made
}

/// A customer's default payment method.
pub(super) fn default_of(state: &State, customer: &str) -> Option<(String, PaymentMethod)> {
    let id = state
        .get(customer)?
        .pointer("/invoice_settings/default_payment_method")?
        .as_str()?;
    Some((id.to_owned(), state.methods.get(id)?.clone()))
}
