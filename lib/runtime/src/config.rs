//! Configuration: environment variables, declared once in [`ALL`], read once at start.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use aws_config::SdkConfig;
use secrecy::SecretString;
use url::Url;

use crate::aws::{self, Roots};

/// An environment variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// Its value where it is not set; without one it must be set.
    pub default: Option<&'static str>,
    /// What it is for.
    pub about: &'static str,
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text but none.
    Text,
    /// Any text but none; never shown.
    Secret,
    /// An absolute http or https URL.
    Url,
    /// `true` or `false`.
    Flag,
    /// A whole number of days.
    Day,
    /// Whole numbers of days, separated by commas.
    Days,
    /// A whole number from 1.
    Count,
    /// What a type of the function's own can be read from; says what is wrong with it. See
    /// [`Variable::of`].
    Parsed(fn(&str) -> Result<(), String>),
}

impl Variable {
    /// The variable as one that a `T` is read from, by [`Config::parsed`].
    #[must_use]
    pub const fn of<T: FromStr<Err: Display>>(self) -> Self {
        Self {
            kind: Kind::Parsed(|value| match value.parse::<T>() {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }),
            ..self
        }
    }
}

macro_rules! variables {
    ($($name:ident: $kind:ident $(= $default:literal)?, $about:literal;)+) => {
        $(
            #[doc = $about]
            pub const $name: Variable = Variable {
                name: stringify!($name),
                kind: Kind::$kind,
                default: variables!(@default $($default)?),
                about: $about,
            };
        )+

        /// Every variable that any function reads.
        pub const ALL: &[Variable] = &[$($name),+];
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}

variables! {
    STACK_NAME: Text = "bitflow-local", "Name of the stack, by which its metrics are told from another's.";
    UNIVERSITIES_TABLE: Text, "Name of the table of universities.";
    UNIVERSITY_DOMAINS_TABLE: Text, "Name of the table that keeps domains unique.";
    SUBSCRIPTIONS_TABLE: Text, "Name of the table of subscriptions.";
    INVOICES_TABLE: Text, "Name of the table of invoices.";
    PAYMENTS_TABLE: Text, "Name of the table of payments.";
    ALERTS_TABLE: Text, "Name of the table of alerts.";
    ALERT_FOLDS_TABLE: Text, "Name of the table of which alert of a kind was raised last.";
    NOTIFICATIONS_TABLE: Text, "Name of the table of maintenance notifications.";
    DELIVERIES_TABLE: Text, "Name of the table of what became of a notification at each portal.";
    ACTIVITIES_TABLE: Text, "Name of the table of the audit trail.";
    OUTBOX_TABLE: Text, "Name of the table of events on their way to the bus.";
    INBOX_TABLE: Text, "Name of the table of messages that were handled.";
    IDEMPOTENCY_KEYS_TABLE: Text, "Name of the table of what was begun under an idempotency key.";
    JOB_RUNS_TABLE: Text, "Name of the table of how far each run of a job came.";
    RATE_LIMITS_TABLE: Text, "Name of the table of how many requests of a sender came in a minute.";
    ADMIN_REQUESTS_PER_MINUTE: Count = "60", "How many requests of one admin are let through in a minute.";
    WEBHOOK_REQUESTS_PER_MINUTE: Count = "100", "How many requests of one portal, or of one address that is not known, are let through in a minute.";
    FILES_BUCKET: Text, "Name of the bucket of files.";
    INVOICE_QUEUE_URL: Text, "URL of the queue of subscriptions to be billed.";
    REPORT_QUEUE_URL: Text, "URL of the queue of reports to be written.";
    STORAGE_USAGE_QUEUE_URL: Text, "URL of the queue of universities whose files are to be measured.";
    PORTAL_DELIVERY_QUEUE_URL: Text, "URL of the queue of portals to be told of a notification.";
    PORTAL_URL_TEMPLATE: Text = "https://{domain}:8000", "Where a university's portal is: a URL with `{domain}` in its host or path.";
    PORTAL_ALLOWED_NETWORKS: Text = "none", "Special addresses that portals may have all the same, such as `127.0.0.0/8,::1`; `none` on the public internet.";
    DEAD_LETTER_QUEUE_URLS: Text, "URLs of the dead-letter queues, separated by commas.";
    PAYMENT_REMINDER_DAYS: Days = "1,7,14,30", "After how many days an overdue invoice is reminded of.";
    SUBSCRIPTION_WARNING_DAYS: Day = "7", "How many days before its end a subscription is warned of.";
    EVENT_BUS_NAME: Text, "Name of the EventBridge bus.";
    STRIPE_SECRET: Secret, "Stripe's secret API key (`sk_…` or a restricted `rk_…`).";
    STRIPE_WEBHOOK_SECRET: Secret, "Signing secret of the Stripe webhook endpoint (`whsec_…`).";
    STRIPE_API_BASE: Url = "https://api.stripe.com", "Where Stripe's API is.";
    SENDGRID_API_KEY: Secret, "SendGrid API key with permission to send mail (`SG.…`).";
    SENDGRID_API_BASE: Url = "https://api.sendgrid.com", "Where SendGrid's API is.";
    SENDGRID_SANDBOX: Flag = "false", "`true`: SendGrid checks each mail and delivers none.";
    MAIL_FROM: Text, "Address that mail comes from; its domain is verified at SendGrid.";
    MAIL_FROM_NAME: Text = "Bitflow", "Name that mail comes from.";
    PUSHER_APP_ID: Text, "Id of the Pusher app.";
    PUSHER_APP_KEY: Text, "Key of the Pusher app; public.";
    PUSHER_APP_SECRET: Secret, "Secret of the Pusher app.";
    PUSHER_API_BASE: Url = "https://api-mt1.pusher.com", "Where Pusher's HTTP API is, or that of a server that speaks its protocol.";
    AWS_CA_BUNDLE: Text = "amazon", "Whom calls to AWS trust: `amazon` (its own authorities, built in), `system`, or a PEM file of root certificates.";
}

/// What every function reads, besides what it declares.
const EVERY: &[Variable] = &[AWS_CA_BUNDLE.of::<Roots>()];

/// The values of the variables that one function declared.
#[derive(Debug)]
pub struct Config {
    values: BTreeMap<&'static str, String>,
    aws: SdkConfig,
}

/// What is wrong with the environment: all of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct ConfigError {
    /// Names that must be set and are not (or are empty).
    pub missing: Vec<&'static str>,
    /// Names with a value of the wrong kind, and what it must be.
    pub invalid: Vec<(&'static str, String)>,
}

impl Config {
    /// The declared `variables` as `lookup` has them, and this AWS configuration: for whoever drives
    /// a function within a process of its own.
    ///
    /// # Errors
    /// All that are missing or wrong at once, by name; never what they hold.
    pub fn of(
        variables: &[Variable],
        lookup: impl Fn(&str) -> Option<String>,
        aws: SdkConfig,
    ) -> Result<Self, ConfigError> {
        let values = read(variables, lookup)?;
        Ok(Self { values, aws })
    }

    /// Reads the declared `variables`, and the AWS configuration that every SDK client shares.
    pub(crate) async fn load(variables: &[Variable]) -> Result<Self, ConfigError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        let lookup = |name: &str| std::env::var(name).ok();
        let values = read(&[variables, EVERY].concat(), lookup)?;
        let roots = values[AWS_CA_BUNDLE.name].parse();
        let roots = roots.expect("checked when it was read");
        let endpoint = lookup("AWS_ENDPOINT_URL").filter(|it| !it.trim().is_empty());
        let aws = aws::config(roots, endpoint).await;
        Ok(Self { values, aws })
    }

    /// The value of a `Text`.
    pub fn text(&self, variable: Variable) -> &str {
        self.values.get(variable.name).unwrap_or_else(|| {
            panic!(
                "{} is read but not among the function's VARIABLES",
                variable.name
            )
        })
    }

    /// The value of a `Secret`.
    pub fn secret(&self, variable: Variable) -> SecretString {
        self.text(variable).to_owned().into()
    }

    /// The value of a `Url`.
    pub fn url(&self, variable: Variable) -> Url {
        Url::parse(self.text(variable)).expect("checked when it was read")
    }

    /// The value of a `Flag`.
    pub fn flag(&self, variable: Variable) -> bool {
        self.text(variable) == "true"
    }

    /// The value of a `Day`.
    pub fn day(&self, variable: Variable) -> u16 {
        self.days(variable)[0]
    }

    /// The values of a `Days`.
    pub fn days(&self, variable: Variable) -> Vec<u16> {
        days(self.text(variable)).expect("checked when it was read")
    }

    /// The name of the table of `kind`, e.g. of `invoices`: the value of `INVOICES_TABLE`.
    pub fn table(&self, kind: &str) -> String {
        let name = format!("{}_TABLE", kind.to_uppercase());
        let variable = ALL.iter().find(|variable| variable.name == name);
        let variable = variable.unwrap_or_else(|| panic!("{name} is not a variable"));
        self.text(*variable).to_owned()
    }

    /// The value of a `Count`.
    pub fn count(&self, variable: Variable) -> u32 {
        let count = self.text(variable).parse();
        count.expect("checked when it was read")
    }

    /// The value of a variable [`of`](Variable::of) `T`.
    pub fn parsed<T: FromStr<Err: Display>>(&self, variable: Variable) -> T {
        match self.text(variable).parse() {
            Ok(value) => value,
            Err(error) => panic!("{} is not checked when it is read: {error}", variable.name),
        }
    }

    /// What every AWS SDK client is made from.
    pub fn aws(&self) -> &SdkConfig {
        &self.aws
    }
}

/// The numbers of a `Days`.
fn days(value: &str) -> Option<Vec<u16>> {
    let day = |text: &str| {
        text.trim()
            .parse()
            .ok()
            .filter(|day| (1..=3650).contains(day))
    };
    value.split(',').map(day).collect()
}

impl ConfigError {
    fn sentence(&self) -> String {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!(
                "missing environment variables: {}",
                self.missing.join(", ")
            ));
        }
        for (name, must) in &self.invalid {
            parts.push(format!("{name} {must}"));
        }
        parts.join("; ")
    }
}

/// All values, or all that is wrong.
fn read(
    variables: &[Variable],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let mut values = BTreeMap::new();
    let mut error = ConfigError {
        missing: Vec::new(),
        invalid: Vec::new(),
    };
    for variable in variables {
        let set = lookup(variable.name).filter(|value| !value.trim().is_empty());
        let Some(value) = set.or_else(|| variable.default.map(str::to_owned)) else {
            error.missing.push(variable.name);
            continue;
        };
        match variable.kind.must(&value) {
            None => drop(values.insert(variable.name, value)),
            Some(must) => error.invalid.push((variable.name, must)),
        }
    }
    if error.missing.is_empty() && error.invalid.is_empty() {
        Ok(values)
    } else {
        Err(error)
    }
}

impl Kind {
    /// What the value must be, where it is not.
    fn must(self, value: &str) -> Option<String> {
        let (right, must) = match self {
            Self::Parsed(check) => return check(value).err(),
            Self::Text | Self::Secret => (true, "text"),
            Self::Url => (
                Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https")),
                "an absolute http or https URL",
            ),
            Self::Flag => (matches!(value, "true" | "false"), "true or false"),
            Self::Day => (
                days(value).is_some_and(|days| days.len() == 1),
                "a whole number of days from 1 to 3650",
            ),
            Self::Count => (
                value.parse::<u32>().is_ok_and(|count| count > 0),
                "a whole number from 1",
            ),
            Self::Days => (
                days(value).is_some(),
                "whole numbers of days from 1 to 3650, separated by commas",
            ),
        };
        (!right).then(|| format!("must be {must}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A type of a function's own.
    struct Quiet;

    impl FromStr for Quiet {
        type Err = &'static str;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            match text {
                "none" => Ok(Self),
                _ => Err("must be none"),
            }
        }
    }

    fn check(set: &[(&str, &str)], expect: &str) {
        let variables = [
            OUTBOX_TABLE,
            STRIPE_SECRET,
            STRIPE_API_BASE,
            SENDGRID_SANDBOX,
            PAYMENT_REMINDER_DAYS,
            PORTAL_ALLOWED_NETWORKS.of::<Quiet>(),
        ];
        let lookup = |name: &str| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let seen = match read(&variables, lookup) {
            Ok(values) => format!("{values:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(seen, expect);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        check(
            &[],
            "missing environment variables: OUTBOX_TABLE, STRIPE_SECRET",
        );
        check(
            &[
                ("OUTBOX_TABLE", " "),
                ("STRIPE_API_BASE", "ftp://x"),
                ("SENDGRID_SANDBOX", "yes"),
                ("PAYMENT_REMINDER_DAYS", "1,0"),
                ("PORTAL_ALLOWED_NETWORKS", "all"),
            ],
            "missing environment variables: OUTBOX_TABLE, STRIPE_SECRET; \
             STRIPE_API_BASE must be an absolute http or https URL; \
             SENDGRID_SANDBOX must be true or false; \
             PAYMENT_REMINDER_DAYS must be whole numbers of days from 1 to 3650, separated by commas; \
             PORTAL_ALLOWED_NETWORKS must be none",
        );
        check(
            &[("OUTBOX_TABLE", "o"), ("STRIPE_SECRET", "sk")],
            r#"{"OUTBOX_TABLE": "o", "PAYMENT_REMINDER_DAYS": "1,7,14,30", "PORTAL_ALLOWED_NETWORKS": "none", "SENDGRID_SANDBOX": "false", "STRIPE_API_BASE": "https://api.stripe.com", "STRIPE_SECRET": "sk"}"#,
        );
    }

    #[test]
    fn every_default_is_of_its_kind() {
        for variable in ALL {
            if let Some(default) = variable.default {
                assert_eq!(variable.kind.must(default), None, "{}", variable.name);
            }
            assert!(variable.about.ends_with('.'), "{}", variable.name);
        }
    }
}
