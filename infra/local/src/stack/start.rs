//! A stack's start: one part after the other.

use std::path::PathBuf;
use std::time::Duration;

use bitflow_realtime::auth::App;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Stack;
use super::info::{
    ALL_SCOPES, AUDIENCE, AwsInfo, Info, PUSHER, PusherInfo, REGION, SENDGRID_API_KEY,
    STRIPE_SECRET, STRIPE_WEBHOOK_SECRET, admin, template_settings, upstreams, vendors,
};
use super::settings::Settings;
use crate::aws::calls::Calls;
use crate::aws::dynamodb::{DynamoDb, DynamoDbError};
use crate::aws::endpoint::{self, Services};
use crate::aws::eventbridge::{EventBridge, PatternError};
use crate::aws::iam::{DestinationError, Iam};
use crate::aws::s3::{self, S3Error};
use crate::aws::sqs::Sqs;
use crate::clock::Clock;
use crate::console::Console;
use crate::console::recorder::Recorder;
use crate::http_api::HttpApi;
use crate::http_api::jwt::{Issuer, IssuerError};
use crate::lambda::sources::{self, Feeds, SourceError};
use crate::lambda::{self, Lambda, invoke_api};
use crate::progress::Progress;
use crate::scheduler::{ExpressionError, Scheduler};
use crate::simulators::portal::PortalSim;
use crate::simulators::pusher::PusherSim;
use crate::simulators::sendgrid::{self, SendGridSim};
use crate::simulators::stripe::{self, StripeSim};
use crate::storage::Storage;
use crate::template::{self, ReadError};

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
