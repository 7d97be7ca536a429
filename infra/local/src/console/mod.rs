//! The console: what went through the stack, followed from the request to the last vendor, and the
//! buttons a developer wants beside it. A page at `/_console`, on the port of the HTTP API; it is the
//! local stack's, not the product's.
//!
//! [`recorder`] is told by small hooks in the parts of the stack what happens, each of which is
//! [`noted`], and keeps the last of it in memory, in [`flows`]. [`running`] knows what is under way,
//! [`causes`] reads what an invocation, a message or a webhook follows from, [`asked`] what a call of
//! AWS asks, [`answer`] how an invocation went, and [`witness`] sees what vendors are asked. [`links`]
//! leads from one flow to another. [`pages`] serves the page and what it shows ([`view`]), [`acts`]
//! what its buttons do, and [`guard`] lets nobody in but the page and this machine's own tools.

mod acts;
mod answer;
pub(crate) mod asked;
mod causes;
mod flows;
mod guard;
mod links;
pub(crate) mod noted;
mod pages;
pub mod recorder;
mod running;
mod view;
pub mod witness;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::aws::sqs::Sqs;
use crate::clock::Clock;
use crate::lambda::Lambda;
use crate::progress::Progress;
use crate::scheduler::Scheduler;
use crate::simulators::pusher::PusherSim;
use crate::simulators::sendgrid::SendGridSim;
use crate::simulators::stripe::StripeSim;
use crate::stack::Info;
use crate::template::model::Model;
use recorder::Recorder;

/// What the console shows and what its buttons act on.
#[derive(Clone)]
pub struct Console {
    /// What went through.
    pub recorder: Recorder,
    /// Where everything is.
    pub info: Info,
    /// What the template declares.
    pub model: Model,
    /// The functions.
    pub lambda: Lambda,
    /// The queues.
    pub sqs: Sqs,
    /// The schedules.
    pub scheduler: Scheduler,
    /// Stripe.
    pub stripe: StripeSim,
    /// The mailbox.
    pub sendgrid: SendGridSim,
    /// Pusher.
    pub pusher: PusherSim,
    /// The stack's clock.
    pub clock: Clock,
    /// Tells of every change of the stack.
    pub progress: Progress,
}

impl Console {
    /// Everything below `/_console`.
    pub fn router(self) -> Router {
        let page = Router::new()
            .route("/_console", get(pages::page))
            .route("/_console/", get(pages::page))
            .route("/_console/{file}", get(pages::file));
        let shown = Router::new()
            .route("/_console/api/live", get(pages::live))
            .route("/_console/api/flows", get(pages::flows))
            .route("/_console/api/flows/{id}", get(pages::flow))
            .route("/_console/api/flows/{id}/log/{function}", get(pages::log))
            .route("/_console/api/queues", get(acts::queues))
            .route("/_console/api/mails", get(acts::mails))
            .route("/_console/api/mails/{id}", get(acts::mail))
            .route("/_console/api/stripe", get(acts::stripe))
            .route("/_console/api/channels", get(acts::channels))
            .route("/_console/api/schedules", get(acts::schedules))
            .route("/_console/api/samples", get(acts::samples));
        let acts = Router::new()
            .route("/_console/api/queues/{queue}/redrive", post(acts::redrive))
            .route(
                "/_console/api/stripe/invoices/{id}/{act}",
                post(acts::invoice),
            )
            .route("/_console/api/fire", post(acts::fire))
            .route("/_console/api/sample", post(acts::sample));
        let console = std::sync::Arc::new(self);
        page.merge(shown)
            .merge(acts)
            .route("/_console/api/{*rest}", axum::routing::any(pages::nothing))
            .layer(from_fn_with_state(console.clone(), guard::check))
            .with_state(console)
    }
}
