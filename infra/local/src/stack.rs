//! The whole stack in one process: started, settled, looked into, and stopped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use bitflow_realtime::auth::App;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aws::Identity;
use crate::aws::calls::Calls;
use crate::aws::dynamodb::{DynamoDb, DynamoDbError};
use crate::aws::endpoint::{self, Services};
use crate::aws::eventbridge::{EventBridge, PatternError};
use crate::aws::iam::{DestinationError, Iam};
use crate::aws::s3::{self, S3Error};
use crate::aws::sqs::Sqs;
use crate::backup::Place;
use crate::clock::Clock;
use crate::console::Console;
use crate::console::recorder::Recorder;
use crate::functions::workspace;
use crate::http_api::HttpApi;
use crate::http_api::jwt::{Grant, Issuer, IssuerError};
use crate::lambda::gate::Upstreams;
use crate::lambda::sources::{self, Feeds, SourceError, Sources};
use crate::lambda::{self, Lambda, invoke_api};
use crate::progress::{Pending, Progress};
use crate::scheduler::{ExpressionError, Scheduler};
use crate::simulators::portal::PortalSim;
use crate::simulators::pusher::PusherSim;
use crate::simulators::sendgrid::{self, SendGridSim};
use crate::simulators::stripe::{self, StripeSim};
use crate::storage::Storage;
use crate::template::model::{Function, Model};
use crate::template::{self, ReadError};

/// Where things listen; 0 for any free port.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    /// The HTTP API.
    pub api: u16,
    /// The AWS endpoint.
    pub aws: u16,
    /// The Lambda invoke endpoint.
    pub lambda: u16,
    /// Stripe.
    pub stripe: u16,
    /// SendGrid and its mailbox.
    pub mailbox: u16,
    /// The sample university portal.
    pub portal: u16,
    /// The Pusher server.
    pub pusher: u16,
}

impl Ports {
    /// The ports that people know.
    pub const KNOWN: Self = Self {
        api: 3000,
        aws: 4566,
        lambda: 9000,
        stripe: 12111,
        mailbox: 8025,
        portal: 8000,
        pusher: 6001,
    };
}

/// How a stack is started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub ports: Ports,
    /// The template it makes.
    pub template: PathBuf,
    /// The functions' binaries, by name.
    pub functions: BTreeMap<String, PathBuf>,
    /// What `sam build` made (`.aws-sam/build`): a function that has a `bootstrap` there runs as that.
    pub packages: Option<PathBuf>,
    /// What is kept between runs; without it nothing is.
    pub data: Option<PathBuf>,
    /// Schedules are followed; a test fires them instead.
    pub follow_schedules: bool,
    /// Parameters of the template that are something else than by default.
    pub parameters: BTreeMap<String, String>,
    /// The functions' own calls pass a [`gate`](lambda::gate), which a test may look into.
    pub gated: bool,
}

impl Settings {
    /// The product's own template on free ports; nothing is kept, and no schedule is followed.
    pub fn passing(functions: BTreeMap<String, PathBuf>) -> Self {
        Self {
            ports: Ports::default(),
            template: workspace().join("template.yaml"),
            functions,
            packages: None,
            data: None,
            follow_schedules: false,
            parameters: BTreeMap::new(),
            gated: false,
        }
    }

    /// The same, but nobody makes too many requests.
    #[must_use]
    pub fn without_limits(mut self) -> Self {
        for limit in ["AdminRequestsPerMinute", "WebhookRequestsPerMinute"] {
            self.parameters
                .insert(limit.to_owned(), "1000000".to_owned());
        }
        self
    }

    /// The function as `sam build` packaged it, if it did.
    fn package(&self, function: &Function) -> Option<PathBuf> {
        let folder = self.packages.as_ref()?.join(&function.logical_id);
        Some(folder.join("bootstrap")).filter(|it| it.is_file())
    }
}

/// What a client needs to know of a running stack: the content of the ready file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Info {
    /// The HTTP API.
    pub api_url: String,
    /// The AWS endpoint.
    pub aws_url: String,
    /// The Lambda invoke endpoint.
    pub lambda_url: String,
    /// Stripe's API.
    pub stripe_url: String,
    /// SendGrid's API and the mailbox.
    pub mailbox_url: String,
    /// The sample university portal.
    pub portal_url: String,
    /// The Pusher server and its one app.
    pub pusher: PusherInfo,
    /// A token with every scope.
    pub admin_token: String,
    /// What Stripe's webhooks are signed with.
    pub stripe_webhook_secret: String,
    /// For AWS clients.
    pub aws: AwsInfo,
}

/// For Pusher clients.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PusherInfo {
    /// Where it listens.
    pub host: String,
    /// The port, without TLS.
    pub port: u16,
    /// The app's id.
    pub app_id: String,
    /// The app's key.
    pub key: String,
    /// The app's secret.
    pub secret: String,
}

/// For AWS clients.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AwsInfo {
    /// The region.
    pub region: String,
    /// The access key of the account's owner, who may do everything.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

/// A stack that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken.
    #[error("port {port} ({what}) is in use: stop what uses it, or choose another with --{option}")]
    Port {
        /// Which port.
        port: u16,
        /// What it is for.
        what: &'static str,
        /// The option that chooses another.
        option: &'static str,
    },
    /// Something could not be opened.
    #[error("{what} could not be started")]
    Open {
        /// What.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The template holds what the stack does not know.
    #[error(transparent)]
    Template(#[from] ReadError),
    /// The template names a function that is not in the workspace.
    #[error("template.yaml:{line}: there is no binary {binary} in the workspace")]
    NoBinary {
        /// Where the template names it.
        line: usize,
        /// Its name.
        binary: String,
    },
    /// There is nothing that `sam build` made.
    #[error("{} has no function's bootstrap: run sam build first", .0.display())]
    NoPackages(PathBuf),
    /// The tables could not be made.
    #[error(transparent)]
    DynamoDb(#[from] DynamoDbError),
    /// A function may not do what its settings say it does.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// A rule's pattern is not known.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// An event source cannot be followed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A schedule cannot be followed.
    #[error(transparent)]
    Schedule(#[from] ExpressionError),
    /// The buckets could not be made.
    #[error(transparent)]
    S3(#[from] S3Error),
    /// The token issuer could not be made.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
}

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

pub(crate) const STACK_NAME: &str = "bitflow-local";
pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const AUDIENCE: &str = "bitflow-admin";
pub(crate) const STRIPE_SECRET: &str = "sk_test_local";
const STRIPE_WEBHOOK_SECRET: &str = "whsec_local";
const SENDGRID_API_KEY: &str = "SG.local";
const PUSHER: (&str, &str, &str) = ("1", "local-key", "local-secret");

/// Every scope that a route of the design asks for.
pub(crate) const ALL_SCOPES: [&str; 8] = [
    "universities:read",
    "universities:write",
    "billing:read",
    "billing:write",
    "alerts:read",
    "alerts:write",
    "notifications:write",
    "broadcasting",
];

impl Stack {
    /// Makes everything that the template declares, and the vendors behind it.
    #[expect(
        clippy::too_many_lines,
        reason = "one part after the other, in the order they need each other"
    )]
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let open = |what| move |source| StartError::Open { what, source };
        let (clock, progress) = (Clock::new(), Progress::new());
        let recorder = Recorder::new(clock.clone());
        let ports = settings.ports;
        let api = listen(ports.api, "the HTTP API", "api-port").await?;
        let aws = listen(ports.aws, "the AWS endpoint", "aws-port").await?;
        let invoke = listen(ports.lambda, "the Lambda invoke endpoint", "lambda-port").await?;
        let invoke_v6 = also_on_ipv6(&invoke).await?;
        let stripe = listen(ports.stripe, "Stripe", "stripe-port").await?;
        let mailbox = listen(ports.mailbox, "the mailbox", "mailbox-port").await?;
        let portal = listen(ports.portal, "the sample university portal", "portal-port").await?;
        let pusher = listen(ports.pusher, "the Pusher server", "pusher-port").await?;
        let data = settings.data.as_deref();
        if let Some(folder) = data {
            std::fs::create_dir_all(folder.join("logs")).map_err(open("the data folder"))?;
        }
        let api_url = url_of(&api)?;
        let issuer = Issuer::new(format!("{api_url}/_issuer"), AUDIENCE.to_owned(), data)?;
        let (app_id, key, secret) = PUSHER;
        let pusher_address = pusher.local_addr().map_err(open("the Pusher server"))?;
        let info = Info {
            aws_url: url_of(&aws)?,
            lambda_url: url_of(&invoke)?,
            stripe_url: url_of(&stripe)?,
            mailbox_url: url_of(&mailbox)?,
            portal_url: url_of(&portal)?,
            pusher: PusherInfo {
                host: pusher_address.ip().to_string(),
                port: pusher_address.port(),
                app_id: app_id.to_owned(),
                key: key.to_owned(),
                secret: secret.to_owned(),
            },
            admin_token: issuer.mint(&admin(&ALL_SCOPES), clock.now()),
            stripe_webhook_secret: STRIPE_WEBHOOK_SECRET.to_owned(),
            aws: AwsInfo {
                region: REGION.to_owned(),
                access_key_id: "AKIALOCALLOCALLOCAL1".to_owned(),
                secret_access_key: "local-secret-access-key".to_owned(),
            },
            api_url,
        };
        let identity = info.identity();
        let api_url = info.api_url.clone();
        let mut known = template_settings(&identity, &info);
        known.parameters.extend(settings.parameters.clone());
        let model = template::read(&settings.template, &known)?;

        let scratch = match data {
            Some(_) => None,
            None => Some(TempDir::new().map_err(open("a scratch folder"))?),
        };
        let storage =
            |name: &str| data.map_or_else(Storage::none, |folder| Storage::file(folder, name));
        let files = match (data, &scratch) {
            (Some(folder), _) => folder.join("s3"),
            (None, Some(scratch)) => scratch.path().join("s3"),
            (None, None) => unreachable!("one of the two is there"),
        };
        std::fs::create_dir_all(&files).map_err(open("S3"))?;

        let dynamodb = DynamoDb::start(&model.tables, data).await?;
        let sqs = Sqs::new(
            &model.queues,
            identity.clone(),
            clock.clone(),
            progress.clone(),
            storage("sqs"),
            recorder.clone(),
        )
        .map_err(open("SQS"))?;
        let eventbridge = EventBridge::new(
            &model.buses,
            &model.rules,
            sqs.clone(),
            identity.clone(),
            clock.clone(),
            recorder.clone(),
        )?;
        let iam = Iam::new(&model.functions, identity.clone())?;
        let mut functions = Vec::new();
        for function in &model.functions {
            let packaged = settings.package(function);
            let binary = packaged.or_else(|| settings.functions.get(&function.binary).cloned());
            let binary = binary.ok_or_else(|| StartError::NoBinary {
                line: function.line,
                binary: function.binary.clone(),
            })?;
            functions.push((function.clone(), binary));
        }
        if let Some(folder) = &settings.packages
            && !functions.iter().any(|(_, it)| it.starts_with(folder))
        {
            return Err(StartError::NoPackages(folder.clone()));
        }
        let lambda = Lambda::start(lambda::Settings {
            functions,
            identity: identity.clone(),
            iam: iam.clone(),
            environments_per_function: 4,
            log_folder: data.map(|folder| folder.join("logs")),
            sqs: sqs.clone(),
            clock: clock.clone(),
            progress: progress.clone(),
            gated: settings.gated.then(|| upstreams(&info)),
            vendors: vendors(&info).into_values().collect(),
            recorder: recorder.clone(),
        })
        .await
        .map_err(open("the Runtime API"))?;
        let calls = Calls::default();
        let services = Services {
            dynamodb: dynamodb.clone(),
            sqs: sqs.clone(),
            eventbridge,
            s3: s3::open(&model.buckets, &files, &iam)?,
            http: reqwest::Client::new(),
            iam: iam.clone(),
            identity: identity.clone(),
            calls: calls.clone(),
            recorder: recorder.clone(),
        };
        let host = api_url.trim_start_matches("http://").to_owned();
        let http_api = HttpApi::new(
            &model,
            issuer.clone(),
            lambda.clone(),
            clock.clone(),
            host,
            recorder.clone(),
        );
        let stripe = StripeSim::start(
            stripe,
            stripe::Settings {
                api_key: STRIPE_SECRET.to_owned().into(),
                webhook_url: format!("{api_url}/api/webhooks/stripe"),
                webhook_secret: STRIPE_WEBHOOK_SECRET.to_owned().into(),
                retry_gaps: stripe::Settings::live_retry_gaps(),
                storage: storage("stripe"),
                clock: clock.clone(),
                progress: progress.clone(),
                witness: recorder.witness("Stripe"),
            },
        )
        .map_err(open("Stripe"))?;
        let sendgrid = SendGridSim::start(
            mailbox,
            sendgrid::Settings {
                api_key: SENDGRID_API_KEY.to_owned().into(),
                storage: storage("mailbox"),
                clock: clock.clone(),
                progress: progress.clone(),
                witness: recorder.witness("SendGrid"),
            },
        )
        .map_err(open("the mailbox"))?;
        let portal = PortalSim::start(
            portal,
            api_url.clone(),
            progress.clone(),
            recorder.witness("Portal"),
        )
        .map_err(open("the sample university portal"))?;
        let app = App {
            id: app_id.to_owned(),
            key: key.to_owned(),
            secret: secret.to_owned().into(),
        };
        let pusher = PusherSim::start(pusher, app, recorder.witness("Pusher"));
        let scheduler = Scheduler::new(&model, lambda.clone(), sqs.clone(), clock.clone())?;
        let console = Console {
            recorder,
            info: info.clone(),
            model: model.clone(),
            lambda: lambda.clone(),
            sqs: sqs.clone(),
            scheduler: scheduler.clone(),
            stripe: stripe.clone(),
            sendgrid: sendgrid.clone(),
            pusher: pusher.clone(),
            clock: clock.clone(),
            progress: progress.clone(),
        };
        let mut servers: Vec<_> = invoke_v6
            .map(|listener| serve(listener, invoke_api::router(lambda.clone())))
            .into_iter()
            .collect();
        servers.extend([
            serve(
                aws,
                endpoint::router(services, invoke_api::router(lambda.clone())),
            ),
            serve(invoke, invoke_api::router(lambda.clone())),
            serve(api, http_api.router().merge(console.router())),
        ]);
        let feeds = Feeds {
            lambda: lambda.clone(),
            sqs: sqs.clone(),
            dynamodb: dynamodb.clone(),
            clock: clock.clone(),
            progress: progress.clone(),
        };
        let sources = sources::start(&model, &feeds, storage)?;
        if settings.follow_schedules {
            scheduler.run();
        }
        servers.push(tokio::spawn(sweep(dynamodb.clone())));
        Ok(Self {
            info,
            model,
            lambda,
            sqs,
            dynamodb,
            scheduler,
            stripe,
            sendgrid,
            portal,
            pusher,
            calls,
            iam,
            issuer,
            clock,
            progress,
            sources,
            servers,
            files,
            clients: Default::default(),
            _scratch: scratch,
        })
    }

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

impl Info {
    /// Who and where the stack says it is.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            region: self.aws.region.clone(),
            account: ACCOUNT.to_owned(),
            access_key_id: self.aws.access_key_id.clone(),
            secret_access_key: self.aws.secret_access_key.clone(),
            aws_url: self.aws_url.clone(),
        }
    }
}

/// A client of a stack's DynamoDB.
pub(crate) fn dynamo(aws: &AwsInfo, aws_url: &str) -> aws_sdk_dynamodb::Client {
    let AwsInfo {
        region,
        access_key_id,
        secret_access_key,
    } = aws;
    let credentials = Credentials::new(
        access_key_id,
        secret_access_key,
        None,
        None,
        "bitflow-local",
    );
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.clone()))
        .credentials_provider(credentials)
        .endpoint_url(aws_url)
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// A client of a stack's SQS.
pub(crate) fn sqs(aws: &AwsInfo, aws_url: &str) -> aws_sdk_sqs::Client {
    let (id, secret) = (&aws.access_key_id, &aws.secret_access_key);
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .region(aws_sdk_sqs::config::Region::new(aws.region.clone()))
        .credentials_provider(Credentials::new(id, secret, None, None, "bitflow-local"))
        .endpoint_url(aws_url)
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

/// The bucket of files.
pub(crate) fn bucket(model: &Model) -> String {
    let mut buckets = model.buckets.iter().map(|bucket| bucket.name.clone());
    buckets.next().unwrap_or_default()
}

/// A client of a stack's S3.
pub(crate) fn s3(aws: &AwsInfo, aws_url: &str) -> aws_sdk_s3::Client {
    let (id, secret) = (&aws.access_key_id, &aws.secret_access_key);
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new(aws.region.clone()))
        .credentials_provider(Credentials::new(id, secret, None, None, "bitflow-local"))
        .endpoint_url(aws_url)
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// A grant for an admin of the local stack.
pub fn admin(scopes: &[&str]) -> Grant {
    Grant {
        subject: "local-admin".to_owned(),
        name: "Local Admin".to_owned(),
        email: "admin@bitflow.example".to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        lifetime: SignedDuration::from_hours(24),
    }
}

/// What the template is read for: this stack's addresses and secrets.
pub(crate) fn template_settings(identity: &Identity, info: &Info) -> template::Settings {
    let issuer_url = format!("{}/_issuer", info.api_url);
    let pusher_url = pusher_url(info);
    let portal_url = format!("{}/{{domain}}", info.portal_url);
    let parameters = [
        ("JwtIssuer", issuer_url.as_str()),
        ("JwtAudience", AUDIENCE),
        ("StripeApiBase", &info.stripe_url),
        ("SendGridApiBase", &info.mailbox_url),
        ("PusherApiBase", &pusher_url),
        ("PortalUrlTemplate", &portal_url),
        ("PortalAllowedNetworks", "127.0.0.0/8"),
    ];
    let secrets = [
        ("bitflow/stripe", "secret", STRIPE_SECRET),
        ("bitflow/stripe", "webhook_secret", STRIPE_WEBHOOK_SECRET),
        ("bitflow/sendgrid", "api_key", SENDGRID_API_KEY),
        ("bitflow/pusher", "app_id", &info.pusher.app_id),
        ("bitflow/pusher", "key", &info.pusher.key),
        ("bitflow/pusher", "secret", &info.pusher.secret),
    ];
    let owned = |text: &str| text.to_owned();
    template::Settings {
        stack_name: owned(STACK_NAME),
        region: identity.region.clone(),
        account: identity.account.clone(),
        aws_url: identity.aws_url.clone(),
        api_url: info.api_url.clone(),
        parameters: parameters
            .map(|(name, value)| (owned(name), owned(value)))
            .into(),
        secrets: secrets
            .map(|(name, key, value)| ((owned(name), owned(key)), owned(value)))
            .into(),
    }
}

/// Where the functions' calls go.
fn upstreams(info: &Info) -> Upstreams {
    Upstreams {
        aws: info.aws_url.clone(),
        vendors: vendors(info),
        prefix: format!("{STACK_NAME}-"),
    }
}

/// Where each vendor is.
fn vendors(info: &Info) -> BTreeMap<&'static str, String> {
    let vendors = [
        ("stripe", info.stripe_url.clone()),
        ("sendgrid", info.mailbox_url.clone()),
        ("pusher", pusher_url(info)),
        ("portal", info.portal_url.clone()),
    ];
    vendors.into()
}

fn pusher_url(info: &Info) -> String {
    format!("http://{}:{}", info.pusher.host, info.pusher.port)
}

async fn listen(
    port: u16,
    what: &'static str,
    option: &'static str,
) -> Result<TcpListener, StartError> {
    TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|source| {
            if source.kind() == std::io::ErrorKind::AddrInUse {
                StartError::Port { port, what, option }
            } else {
                StartError::Open { what, source }
            }
        })
}

/// The same port on `[::1]`, where `cargo lambda invoke` looks for it; none where there is no IPv6.
async fn also_on_ipv6(listener: &TcpListener) -> Result<Option<TcpListener>, StartError> {
    let (what, option) = ("the Lambda invoke endpoint, on [::1]", "lambda-port");
    let address = listener
        .local_addr()
        .map_err(|source| StartError::Open { what, source })?;
    match TcpListener::bind(("::1", address.port())).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(StartError::Port {
            port: address.port(),
            what,
            option,
        }),
        Err(_) => Ok(None),
    }
}

fn url_of(listener: &TcpListener) -> Result<String, StartError> {
    let address = listener.local_addr();
    let address = address.map_err(|source| StartError::Open {
        what: "a listener",
        source,
    })?;
    Ok(format!("http://{address}"))
}

fn serve(listener: TcpListener, router: axum::Router) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "a listener stopped");
        }
    })
}

/// DynamoDB deletes what has expired within days; here within a minute.
async fn sweep(dynamodb: DynamoDb) {
    let mut minutes = tokio::time::interval(Duration::from_mins(1));
    loop {
        minutes.tick().await;
        let dynamodb = dynamodb.clone();
        // A sweep holds the database's lock; not on a thread that serves requests.
        if tokio::task::spawn_blocking(move || dynamodb.sweep_ttl())
            .await
            .is_err()
        {
            return;
        }
    }
}
