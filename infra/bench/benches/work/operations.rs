//! What is asked of the product.

use bitflow_bench::Error;
use bitflow_bench::world::{University, World, month};
use serde_json::json;

/// Something that is asked of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Authorize,
    ReadUniversity,
    Report,
    Alert,
    Announce,
    MonthReport,
    Bill,
    Paid,
    Failed,
    Monthly,
    Remind,
    Warn,
    Measure,
    Sweep,
    Retry,
    Watch,
    Onboard,
}

impl Operation {
    /// Onboarding is last: what jobs do grows with the universities.
    pub(crate) const ALL: [Self; 17] = [
        Self::Authorize,
        Self::ReadUniversity,
        Self::Report,
        Self::Alert,
        Self::Announce,
        Self::MonthReport,
        Self::Bill,
        Self::Paid,
        Self::Failed,
        Self::Monthly,
        Self::Remind,
        Self::Warn,
        Self::Measure,
        Self::Sweep,
        Self::Retry,
        Self::Watch,
        Self::Onboard,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authorize => "POST broadcasting/auth",
            Self::ReadUniversity => "GET university",
            Self::Report => "POST university-sync",
            Self::Alert => "POST alert",
            Self::Announce => "POST notification",
            Self::MonthReport => "POST report",
            Self::Bill => "POST invoice",
            Self::Paid => "Stripe: paid",
            Self::Failed => "Stripe: payment failed",
            Self::Monthly => "monthly run, one plan",
            Self::Remind => "reminders",
            Self::Warn => "warnings",
            Self::Measure => "storage, one university",
            Self::Sweep => "sweep",
            Self::Retry => "retry deliveries",
            Self::Watch => "watch dead letters",
            Self::Onboard => "POST university",
        }
    }
}

/// What operations are about.
pub(crate) struct Day<'a> {
    pub(crate) world: &'a World,
    pub(crate) university: University,
    /// At Stripe: not paid yet, one for each run that pays.
    pub(crate) open: String,
    /// At Stripe: never paid.
    pub(crate) failing: String,
}

impl Day<'_> {
    /// What a run needs and is not measured.
    pub(crate) async fn prepare(&mut self, operation: Operation) -> Result<(), Error> {
        if operation == Operation::Paid {
            self.open = self.world.invoice(&self.university).await?;
            self.world.settle().await?;
        }
        Ok(())
    }

    /// One run, of which only the first step is waited for.
    pub(crate) async fn run(&self, operation: Operation, number: usize) -> Result<(), Error> {
        let Self {
            world, university, ..
        } = self;
        let id = &university.id;
        let counted = i64::try_from(number)?;
        let done = match operation {
            Operation::Authorize => {
                let asked = json!({ "socket_id": "1.2", "channel_name": "private-bitflow-admin" });
                world.post("/broadcasting/auth", &asked).await
            }
            Operation::ReadUniversity => world.get(&format!("/api/admin/universities/{id}")).await,
            Operation::Report => {
                let report = json!({ "university_id": id, "metric": "students", "value": number });
                let path = "/api/webhooks/university-sync";
                world.post_signed(path, &report, university).await
            }
            Operation::Alert => {
                // Each of another type, so that none is a repeat.
                let alert = json!({
                    "type": format!("run_{number}"),
                    "university_id": id,
                    "message": "Storage quota exceeded",
                });
                let path = "/api/admin/alerts";
                world.post_signed(path, &alert, university).await
            }
            Operation::Announce => {
                let notice = json!({
                    "type": "maintenance",
                    "title": "Scheduled Maintenance",
                    "message": "System will be down for 2 hours",
                    "scheduled_at": "2099-11-15T02:00:00Z",
                });
                world.post("/api/admin/notifications", &notice).await
            }
            Operation::MonthReport => {
                let month = json!({ "month": "2026-01" });
                world.post("/api/admin/reports", &month).await
            }
            Operation::Bill => world.invoice(university).await.map(Into::into),
            Operation::Paid => world.stripe.pay(&self.open).map_err(Into::into),
            Operation::Failed => world.stripe.fail(&self.failing).map_err(Into::into),
            Operation::Onboard => {
                let name = format!("university-{number}");
                return world.onboard(&name).await.map(drop);
            }
            Operation::Monthly => {
                let job = "generate-monthly-invoices-job";
                return world.fire(job, month(counted)?).await;
            }
            Operation::Remind => {
                return world
                    .fire("send-payment-reminders-job", month(counted)?)
                    .await;
            }
            Operation::Warn => {
                return world
                    .fire("warn-expiring-subscriptions-job", month(counted)?)
                    .await;
            }
            Operation::Measure => {
                return world.fire("sync-storage-usage-job", month(counted)?).await;
            }
            Operation::Sweep => return world.fire("sweep-outbox-job", month(0)?).await,
            Operation::Retry => return world.fire("retry-portal-deliveries-job", month(0)?).await,
            Operation::Watch => return world.fire("watch-dead-letters-job", month(0)?).await,
        };
        done.map(drop)
    }
}
