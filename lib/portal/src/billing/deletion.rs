//! What a deleted university still has: its subscriptions end, its invoices stay.

use bitflow_domain::billing::subscription::Subscription;
use bitflow_domain::id::UniversityId;
use bitflow_domain::university::UniversityStatus;
use bitflow_domain::version::Expected;
use bitflow_events::envelope::Context;
use bitflow_store::page::PageRequest;
use futures_util::future::join_all;
use jiff::Timestamp;

use super::admin::AdminBilling;
use crate::error::PortalError;

/// Subscriptions that are cancelled at the same time: Stripe takes 25 calls a second in test mode.
const AT_A_TIME: usize = 5;

impl AdminBilling {
    /// Cancels, now, every subscription of a university that was deleted at `deleted_at`; how many.
    /// One that is over is left as it is, so a repeat goes on where the first try died. One that
    /// cannot be cancelled does not keep the others: its error comes at the end.
    ///
    /// Where the university was restored since, what was begun after the deletion goes on.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`]; else the first that befell a subscription, as
    /// [`cancel`](Self::cancel) has them. Those that could be cancelled are.
    pub async fn cancel_all(
        &self,
        university_id: UniversityId,
        deleted_at: Timestamp,
        context: &Context,
        now: Timestamp,
    ) -> Result<usize, PortalError> {
        let operation = "cancel subscriptions";
        let university = self.known(operation, university_id).await?;
        let gone = university.status == UniversityStatus::Deleted;
        let ends = |it: &Subscription| {
            !it.terms.status.is_final() && (gone || it.created_at <= deleted_at)
        };
        let mut page = PageRequest {
            limit: 100,
            cursor: None,
        };
        let mut cancelled = 0;
        let mut failed = None;
        loop {
            let listed = self
                .ledger
                .subscriptions
                .of_university(university_id, &page);
            let listed = listed
                .await
                .map_err(|source| PortalError::List { operation, source })?;
            let due: Vec<_> = listed.data.iter().filter(|it| ends(it)).collect();
            for some in due.chunks(AT_A_TIME) {
                let calls = some.iter().map(|it| {
                    self.cancel(university_id, it.id, (false, &Expected::Any), context, now)
                });
                for outcome in join_all(calls).await {
                    match outcome {
                        Ok(_) => cancelled += 1,
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
            }
            page.cursor = listed.next_cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        failed.map_or(Ok(cancelled), Err)
    }
}
