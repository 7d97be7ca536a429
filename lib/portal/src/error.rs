//! Why a use case did not end well.

use bitflow_domain::id::{
    AlertId, InvoiceId, NotificationId, PaymentId, ReportId, SubscriptionId, UniversityId,
};
use bitflow_domain::version::Version;
use bitflow_email::sendgrid::EmailError;
use bitflow_fault::{Class, Fault, Violation};
use bitflow_realtime::RealtimeError;
use bitflow_store::error::StoreError;
use bitflow_store::page::ListError;
use bitflow_store::transaction::CommitError;
use bitflow_stripe::error::StripeError;
use bitflow_university::SignatureError;

/// A use case failed; nothing of it is stored unless the variant says so.
///
/// Any may fail with [`Load`](Self::Load), [`List`](Self::List) (also for a cursor of another list)
/// and [`Commit`](Self::Commit), and one that writes with [`Contended`](Self::Contended) where others
/// were faster each time. What else may befall a function is in its documentation. After a transient
/// [class](Fault::class) the same may be asked again: what was done is found and completed.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// Something could not be loaded.
    #[error("{operation}: loading failed")]
    Load {
        /// The use case.
        operation: &'static str,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// A list could not be read.
    #[error("{operation}: the list could not be read")]
    List {
        /// The use case.
        operation: &'static str,
        /// What the store said.
        #[source]
        source: ListError,
    },
    /// What was decided could not be committed.
    #[error("{operation}: the commit failed")]
    Commit {
        /// The use case.
        operation: &'static str,
        /// What the store said.
        #[source]
        source: CommitError,
    },
    /// Stripe did not do what was asked; it may have been done all the same.
    #[error("{operation}: the call to Stripe failed")]
    Stripe {
        /// The use case.
        operation: &'static str,
        /// What Stripe said.
        #[source]
        source: StripeError,
    },
    /// Stripe refused what was asked, for a reason that who asked can mend.
    #[error("{operation}: Stripe refused it")]
    Refused {
        /// The use case.
        operation: &'static str,
        /// What of the request is at fault, and Stripe's own sentence about it.
        violations: Vec<Violation>,
        /// What Stripe said.
        #[source]
        source: StripeError,
    },
    /// Stripe uses a status for a subscription that this build does not know.
    #[error("Stripe told a subscription status that is not known")]
    UnknownStatus,
    /// A stored plan cannot be billed.
    #[error("the plan's amount or description cannot be billed")]
    BadPlan,
    /// The state of things does not allow it.
    #[error("the state of things does not allow it")]
    NotNow(String),
    /// It is asked for another version than the one that is stored.
    #[error("it is not the version that the change is meant for")]
    OtherVersion {
        /// What is stored.
        current: Version,
    },
    /// A call is not known to come from the portal that it names.
    #[error("the call is not signed by the portal that it names")]
    Signature(#[source] SignatureError),
    /// A deleted university cannot be billed.
    #[error("the university is deleted")]
    DeletedUniversity([Violation; 1]),
    /// An idempotency key was used for two requests.
    #[error("the idempotency key was used for another request")]
    KeyReused([Violation; 1]),
    /// The news that this one builds on has not come yet.
    #[error("the payment it is about is not known yet")]
    TooEarly,
    /// The mail was not sent, or may have been.
    #[error("the mail for the event was not sent")]
    Mail(#[source] EmailError),
    /// The mail was sent, but that could not be noted: it may be sent again.
    #[error("the mail was sent, but not noted as sent")]
    MailNotNoted(#[source] StoreError),
    /// The bus did not take the event.
    #[error("the bus did not take the event ({code})")]
    Bus {
        /// EventBridge's error code, or what happened to the call.
        code: String,
    },
    /// The queue did not take the message.
    #[error("the queue did not take the message ({code})")]
    Queue {
        /// SQS's error code, or what happened to the call.
        code: String,
    },
    /// A dead-letter queue could not be looked into.
    #[error("dead-letter queue {queue} could not be read ({code})")]
    DeadLetters {
        /// The queue's name.
        queue: String,
        /// SQS's error code, or what happened to the call.
        code: String,
    },
    /// There is no such university.
    #[error("there is no university {0}")]
    NoUniversity(UniversityId),
    /// There is no such subscription.
    #[error("there is no subscription {0}")]
    NoSubscription(SubscriptionId),
    /// There is no such invoice.
    #[error("there is no invoice {0}")]
    NoInvoice(InvoiceId),
    /// There is no such payment.
    #[error("there is no payment {0}")]
    NoPayment(PaymentId),
    /// The university has no logo.
    #[error("university {0} has no logo")]
    NoLogo(UniversityId),
    /// It is to happen at a time that is past.
    #[error("the time is past")]
    Past([Violation; 1]),
    /// There is no such upload, or it is not finished.
    #[error("there is no such upload")]
    NoUpload([Violation; 1]),
    /// There is no such report.
    #[error("there is no report {0}")]
    NoReport(ReportId),
    /// There is no such alert.
    #[error("there is no alert {0}")]
    NoAlert(AlertId),
    /// There is no such notification.
    #[error("there is no notification {0}")]
    NoNotification(NotificationId),
    /// A notification was not announced to that university.
    #[error("notification {0} was not announced to university {1}")]
    NoDelivery(NotificationId, UniversityId),
    /// What is to be pushed was not, or may have been.
    #[error("the event was not pushed")]
    Push(#[source] RealtimeError),
    /// Another delivery of the same message is at work, or died a moment ago.
    #[error("another delivery of the message is at work")]
    Held,
    /// It changed under our hands, three times in a row.
    #[error("{operation}: it kept changing")]
    Contended {
        /// The use case.
        operation: &'static str,
    },
}

impl PortalError {
    #[cfg(feature = "stripe-api")]
    /// What Stripe's refusal means for who asked. `field` names the field of the request that a
    /// parameter of Stripe's came from; none where it came from us.
    pub(crate) fn refused(
        operation: &'static str,
        source: StripeError,
        field: impl Fn(Option<&str>) -> Option<&'static str>,
    ) -> Self {
        let Some(refusal) = source.refusal() else {
            return Self::Stripe { operation, source };
        };
        let field = match refusal.kind.as_str() {
            "invalid_request_error" => field(refusal.param.as_deref()),
            "card_error" => None,
            // A key of ours on two requests of ours, or worse.
            _ => return Self::Stripe { operation, source },
        };
        let message = refusal
            .message
            .clone()
            .unwrap_or_else(|| "was refused by Stripe".to_owned());
        Self::Refused {
            operation,
            violations: field
                .map(|field| Violation::new(field, message))
                .into_iter()
                .collect(),
            source,
        }
    }

    #[cfg(feature = "stripe-api")]
    /// A deleted university cannot be billed.
    pub(crate) fn deleted_university() -> Self {
        let violation = Violation::new("university_id", "is of a university that is deleted");
        Self::DeletedUniversity([violation])
    }

    /// Stripe's sentence about a refusal that no field is at fault for.
    fn said(&self) -> Option<&str> {
        match self {
            Self::Refused { source, .. } => source.refusal()?.message.as_deref(),
            _ => None,
        }
    }
}

impl Fault for PortalError {
    fn class(&self) -> Class {
        match self {
            Self::Load { source, .. } | Self::MailNotNoted(source) => source.class(),
            Self::List { source, .. } => source.class(),
            Self::Commit { source, .. } => source.class(),
            // That we ask too much of Stripe is not the doing of who asks us.
            Self::Stripe { source, .. } => match source.class() {
                Class::TooMany => Class::Busy,
                Class::Invalid | Class::Missing => Class::Broken,
                class => class,
            },
            Self::Refused { violations, .. } if violations.is_empty() => Class::Conflict,
            Self::Refused { .. }
            | Self::DeletedUniversity(_)
            | Self::Past(_)
            | Self::NoUpload(_)
            | Self::KeyReused(_) => Class::Invalid,
            Self::Signature(source) => source.class(),
            Self::NotNow(_) => Class::Conflict,
            Self::OtherVersion { .. } => Class::Precondition,
            Self::UnknownStatus | Self::BadPlan => Class::Broken,
            Self::Mail(source) => source.class(),
            Self::NoUniversity(_)
            | Self::NoSubscription(_)
            | Self::NoInvoice(_)
            | Self::NoPayment(_)
            | Self::NoLogo(_)
            | Self::NoReport(_)
            | Self::NoAlert(_)
            | Self::NoNotification(_)
            | Self::NoDelivery(..) => Class::Missing,
            Self::Push(source) => source.class(),
            Self::Bus { .. }
            | Self::Queue { .. }
            | Self::DeadLetters { .. }
            | Self::Held
            | Self::TooEarly
            | Self::Contended { .. } => Class::Busy,
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::List { source, .. } => source.violations(),
            Self::Commit { source, .. } => source.violations(),
            Self::Refused { violations, .. } => violations,
            Self::DeletedUniversity(violation)
            | Self::Past(violation)
            | Self::NoUpload(violation)
            | Self::KeyReused(violation) => violation,
            _ => &[],
        }
    }

    fn current_version(&self) -> Option<u64> {
        match self {
            Self::OtherVersion { current } => Some(current.get()),
            _ => None,
        }
    }

    fn detail(&self) -> Option<String> {
        let none_such = |kind: &str| Some(format!("There is no such {kind}."));
        match self {
            Self::NoUniversity(_) => none_such("university"),
            Self::NoSubscription(_) => none_such("subscription"),
            Self::NoInvoice(_) => none_such("invoice"),
            Self::NoAlert(_) => none_such("alert"),
            Self::NoNotification(_) => none_such("notification"),
            Self::NoReport(_) => none_such("report"),
            Self::NoLogo(_) => Some("The university has no logo.".to_owned()),
            Self::NotNow(why) => Some(why.clone()),
            Self::Signature(source) => Some(format!("The call is not authenticated: {source}.")),
            Self::Refused { violations, .. } if violations.is_empty() => Some(format!(
                "Stripe refused it: {}",
                self.said().unwrap_or("no reason was given.")
            )),
            _ => None,
        }
    }
}

/// What a load says when it fails, for `map_err`.
pub(crate) fn load(operation: &'static str) -> impl Fn(StoreError) -> PortalError {
    move |source| PortalError::Load { operation, source }
}

/// What a commit says when it fails, for `map_err`.
pub(crate) fn commit(operation: &'static str) -> impl Fn(CommitError) -> PortalError {
    move |source| PortalError::Commit { operation, source }
}
