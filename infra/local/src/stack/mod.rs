//! The whole stack in one process: started, settled, looked into, and stopped.

mod clients;
mod info;
mod settings;
mod start;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::SignedDuration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aws::calls::Calls;
use crate::aws::dynamodb::DynamoDb;
use crate::aws::iam::Iam;
use crate::aws::sqs::Sqs;
use crate::backup::Place;
use crate::clock::Clock;
use crate::http_api::jwt::{Grant, Issuer};
use crate::lambda::Lambda;
use crate::lambda::sources::Sources;
use crate::progress::{Pending, Progress};
use crate::scheduler::Scheduler;
use crate::simulators::portal::PortalSim;
use crate::simulators::pusher::PusherSim;
use crate::simulators::sendgrid::SendGridSim;
use crate::simulators::stripe::StripeSim;
use crate::template::model::Model;

pub(crate) use clients::{dynamo, s3, sqs};
pub(crate) use info::{ALL_SCOPES, AUDIENCE, STACK_NAME, template_settings};
pub use info::{AwsInfo, Info, PusherInfo, admin};
pub use settings::{Ports, Settings};
pub use start::StartError;

/// A running stack.
pub struct Stack {
    info: Info,
    model: Model,
    /// The functions.
    pub lambda: Lambda,
    /// The queues.
    pub sqs: Sqs,
    /// The tables.
    pub dynamodb: DynamoDb,
    /// The schedules.
    pub scheduler: Scheduler,
    /// Stripe.
    pub stripe: StripeSim,
    /// SendGrid.
    pub sendgrid: SendGridSim,
    /// The sample university portal.
    pub portal: PortalSim,
    /// Pusher.
    pub pusher: PusherSim,
    /// What was asked of AWS.
    pub calls: Calls,
    /// Who may do what, and what of it was used.
    pub iam: Iam,
    issuer: Issuer,
    clock: Clock,
    progress: Progress,
    /// What polls queues and streams.
    pub sources: Sources,
    servers: Vec<JoinHandle<()>>,
    /// Below it each bucket's files are.
    pub files: PathBuf,
    /// Made when they are first asked for: a client reads all the certificates that the system trusts.
    clients: (
        OnceLock<aws_sdk_dynamodb::Client>,
        OnceLock<aws_sdk_s3::Client>,
    ),
    _scratch: Option<TempDir>,
}

impl Stack {
    /// What a client needs to know.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// What the template declares.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The stack's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A token with these scopes, good for a day.
    pub fn token(&self, scopes: &[&str]) -> String {
        self.issuer.mint(&admin(scopes), self.clock.now())
    }

    /// A token of another admin, with every scope.
    pub fn token_of(&self, subject: &str) -> String {
        let grant = Grant {
            subject: subject.to_owned(),
            ..admin(&ALL_SCOPES)
        };
        self.issuer.mint(&grant, self.clock.now())
    }

    /// The physical name of a table, queue or function, by its name in the design.
    pub fn name(&self, name: &str) -> String {
        format!("{STACK_NAME}-{name}")
    }

    /// A client of the stack's DynamoDB.
    pub fn dynamo(&self) -> aws_sdk_dynamodb::Client {
        let make = || dynamo(&self.info.aws, &self.info.aws_url);
        self.clients.0.get_or_init(make).clone()
    }

    /// A client of the stack's S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let make = || s3(&self.info.aws, &self.info.aws_url);
        self.clients.1.get_or_init(make).clone()
    }

    /// Its tables, and the bucket that they are backed up into.
    pub fn place(&self) -> Place {
        let bucket = bucket(&self.model);
        Place::new(self.dynamo(), self.s3(), &self.model, STACK_NAME, bucket)
    }

    /// What is still going on.
    pub fn pending(&self) -> Vec<Pending> {
        let parts = [
            self.sources.pending(),
            self.sqs.pending(),
            self.lambda.pending(),
            self.stripe.pending(),
        ];
        parts.into_iter().flatten().collect()
    }

    /// Returns when nothing is going on any more. What waits for a time (a visibility timeout, a
    /// delivery to be tried again) does not have to wait: the clock is put forward to it.
    ///
    /// # Errors
    /// What was still going on after half a minute without any change.
    pub async fn settle(&self) -> Result<(), Vec<Pending>> {
        let mut changes = self.progress.subscribe();
        loop {
            changes.borrow_and_update();
            // Mostly something runs; to ask every part each time would take longer than the work.
            if self.lambda.is_running() {
                self.changed(&mut changes).await?;
                continue;
            }
            let pending = self.pending();
            if pending.is_empty() {
                // One part may have handed work to another between the two looks.
                if changes.has_changed().unwrap_or(false) {
                    continue;
                }
                return Ok(());
            }
            let later = pending.iter().map(|it| match it {
                Pending::Later(at, _) => Some(*at),
                Pending::Now(_) => None,
            });
            // Where nothing goes on now, the first that waits for a time need not wait.
            if let Some(Some(next)) = later.min_by_key(|at| *at) {
                self.clock.advance_to(next + SignedDuration::from_millis(1));
            }
            self.changed(&mut changes).await?;
        }
    }

    /// Waits for a change, with half a minute's patience.
    async fn changed(&self, changes: &mut watch::Receiver<u64>) -> Result<(), Vec<Pending>> {
        let changed = tokio::time::timeout(Duration::from_secs(30), changes.changed()).await;
        changed.map(drop).map_err(|_| self.pending())
    }

    /// Keeps the state of every part.
    pub fn save(&self) -> std::io::Result<()> {
        self.sqs.save()?;
        self.stripe.save()?;
        self.sendgrid.save()
    }

    /// Sees every change of the stack.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Stops everything; no process is left when this returns.
    pub async fn shutdown(&self) -> std::io::Result<()> {
        self.scheduler.shutdown();
        self.sources.shutdown();
        self.stripe.shutdown();
        self.lambda.shutdown().await;
        self.sendgrid.shutdown();
        self.portal.shutdown();
        self.pusher.shutdown();
        for server in &self.servers {
            server.abort();
        }
        self.dynamodb.shutdown();
        self.save()
    }
}

/// The bucket of files.
pub(crate) fn bucket(model: &Model) -> String {
    let mut buckets = model.buckets.iter().map(|bucket| bucket.name.clone());
    buckets.next().unwrap_or_default()
}
