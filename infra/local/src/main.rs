//! `cargo local`: the whole cloud of `template.yaml` on a laptop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bitflow_local::stack::{Info, Ports, Settings, Stack, StartError};
use bitflow_local::{demo, functions, load, openapi, remote, simulate};
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Runs the Bitflow backend and everything it needs on this machine. Without a command: until
/// Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "cargo local", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: Up,
}

#[derive(Debug, Args)]
struct Up {
    /// Forget what was kept from earlier runs.
    #[arg(long)]
    reset: bool,
    /// Keep nothing, and touch nothing that was kept.
    #[arg(long)]
    ephemeral: bool,
    /// Write what a client needs to know, as JSON, once everything answers.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// Folder for what is kept between runs.
    #[arg(long, value_name = "PATH", global = true)]
    data: Option<PathBuf>,
    /// Run the functions that `sam build` made as they are packaged, e.g. those in `.aws-sam/build`.
    #[arg(long, value_name = "PATH", global = true)]
    packages: Option<PathBuf>,
    /// A parameter of the template, e.g. `AdminRequestsPerMinute=1000`; may be given more than once.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Port of the HTTP API.
    #[arg(long, default_value_t = Ports::KNOWN.api)]
    api_port: u16,
    /// Port of the AWS endpoint.
    #[arg(long, default_value_t = Ports::KNOWN.aws)]
    aws_port: u16,
    /// Port of the Lambda invoke endpoint.
    #[arg(long, default_value_t = Ports::KNOWN.lambda)]
    lambda_port: u16,
    /// Port of Stripe.
    #[arg(long, default_value_t = Ports::KNOWN.stripe)]
    stripe_port: u16,
    /// Port of SendGrid and its mailbox.
    #[arg(long, default_value_t = Ports::KNOWN.mailbox)]
    mailbox_port: u16,
    /// Port of the universities' portals.
    #[arg(long, default_value_t = Ports::KNOWN.portal)]
    portal_port: u16,
    /// Port of the Pusher server.
    #[arg(long, default_value_t = Ports::KNOWN.pusher)]
    pusher_port: u16,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A tour: onboards a university, bills it, and shows what follows. Starts a stack of its own
    /// where none is running.
    Demo,
    /// Prints an admin token for the running stack.
    Token {
        /// The scopes it has; all of them by default.
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
    },
    /// Invokes a function of the running stack with an event.
    Invoke {
        /// Its name, e.g. `stripe-webhook`.
        function: String,
        /// A file with the event, e.g. one below `events/`.
        event: PathBuf,
    },
    /// Prints a sample event as `invoke` would send it: what Stripe or a portal signs is signed
    /// anew, since a signature is good for five minutes.
    Sample {
        /// A file below `events/`.
        event: PathBuf,
    },
    /// Runs a scheduled job of the running stack as if it were due.
    Fire {
        /// Its name, e.g. `sweep-outbox-job`.
        job: String,
        /// The time it is due.
        #[arg(long, value_name = "TIME")]
        at: Timestamp,
    },
    /// Moves what lies in a dead-letter queue of the running stack back to where it was given up.
    Redrive {
        /// The queue or its dead-letter queue, e.g. `EmailQueue` or `bitflow-local-email`.
        queue: String,
    },
    /// Prints the description of the HTTP API, as it stands in `infra/openapi.json`.
    Openapi,
    /// Backs up a stack's tables into its bucket.
    Backup {
        #[command(flatten)]
        target: remote::Target,
    },
    /// Restores a backup into a stack whose tables are empty.
    Restore {
        /// What `backup` called it, e.g. `2026-01-15T02-00-00Z`.
        backup: String,
        #[command(flatten)]
        target: remote::Target,
    },
    /// Loads a stack of its own with what portals, Stripe and admins send, and then looks whether all
    /// that was accepted is there.
    Bench {
        /// For how many seconds.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// How many clients send at a time.
        #[arg(long, default_value_t = 8)]
        clients: u32,
        /// How many universities each client has.
        #[arg(long, default_value_t = 5)]
        universities: u32,
    },
    /// Lives a year of billing on a stack of its own, with processes that die and vendors that
    /// fail, and then checks the books.
    Simulate {
        /// How many universities are onboarded.
        #[arg(long, default_value_t = 200)]
        universities: u32,
        /// How many months they are billed.
        #[arg(long, default_value_t = 12)]
        months: u32,
        /// Decides everything that is random.
        #[arg(long, default_value_t = 7)]
        seed: u64,
    },
}

fn parameter(text: &str) -> Result<(String, String), &'static str> {
    let parts = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((parts.0.to_owned(), parts.1.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // A simulation breaks things on purpose, and is warned of each.
    let level = match cli.command {
        Some(Command::Simulate { .. }) => "error",
        _ => "warn",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    let data = cli
        .up
        .data
        .clone()
        .unwrap_or_else(|| functions::workspace().join(".bitflow-local"));
    let done = match cli.command {
        None => up(&cli.up, data).await,
        Some(Command::Demo) => tour(data, cli.up.packages).await,
        Some(Command::Token { scopes }) => remote::token(&data, &scopes),
        Some(Command::Invoke { function, event }) => remote::invoke(&data, &function, &event).await,
        Some(Command::Sample { event }) => remote::print_sample(&data, &event).await,
        Some(Command::Redrive { queue }) => remote::redrive(&data, &queue).await,
        Some(Command::Openapi) => {
            print!("{}", openapi::document());
            Ok(())
        }
        Some(Command::Backup { target }) => remote::back_up(&data, &target).await,
        Some(Command::Restore { backup, target }) => remote::restore(&data, &target, &backup).await,
        Some(Command::Fire { job, at }) => remote::fire(&data, &job, at).await,
        Some(Command::Bench {
            seconds,
            clients,
            universities,
        }) => {
            let settings = load::Settings {
                clients,
                universities,
                lasts: Duration::from_secs(seconds),
            };
            bench(&settings).await
        }
        Some(Command::Simulate {
            universities,
            months,
            seed,
        }) => {
            let settings = simulate::Settings {
                universities,
                months,
                seed,
            };
            live(&settings).await
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo local: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn up(up: &Up, data: PathBuf) -> Result<(), String> {
    if !up.ephemeral
        && let Some(info) = remote::running(&data).await
    {
        let url = info.api_url;
        return Err(format!(
            "a stack is running already, at {url}: stop it, or start this one with --ephemeral or another --data"
        ));
    }
    let functions = functions::build().map_err(|error| error.to_string())?;
    if up.reset && !up.ephemeral && data.exists() {
        std::fs::remove_dir_all(&data)
            .map_err(|error| format!("{} could not be removed: {error}", data.display()))?;
    }
    let settings = Settings {
        ports: Ports {
            api: up.api_port,
            aws: up.aws_port,
            lambda: up.lambda_port,
            stripe: up.stripe_port,
            mailbox: up.mailbox_port,
            portal: up.portal_port,
            pusher: up.pusher_port,
        },
        data: (!up.ephemeral).then(|| data.clone()),
        follow_schedules: true,
        packages: up.packages.clone(),
        parameters: up.parameters.iter().cloned().collect(),
        ..Settings::passing(functions)
    };
    let stack = Stack::start(settings)
        .await
        .map_err(|error| explain(&error))?;
    let ready = serde_json::to_string_pretty(stack.info()).map_err(|error| error.to_string())?;
    if !up.ephemeral {
        remote::announce(&data, &ready)?;
    }
    if let Some(path) = &up.ready_file {
        remote::write(path, &ready)?;
    }
    println!("{}", greeting(stack.info()));
    run_until_stopped(&stack).await?;
    if !up.ephemeral {
        remote::withdraw(&data);
    }
    stack
        .shutdown()
        .await
        .map_err(|error| format!("the state was not kept: {error}"))
}

/// Keeps the state as it changes, until Ctrl-C, SIGTERM or the end of the terminal.
async fn run_until_stopped(stack: &Stack) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let mut hangup = listen(SignalKind::hangup())?;
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    let mut changes = stack.changes();
    let mut saving = tokio::time::interval(std::time::Duration::from_millis(500));
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = saving.tick() => {
                if changes.has_changed().unwrap_or(false) {
                    changes.borrow_and_update();
                    if let Err(error) = stack.save() {
                        tracing::error!(%error, "the state was not kept");
                    }
                }
            }
        }
    }
}

async fn tour(data: PathBuf, packages: Option<PathBuf>) -> Result<(), String> {
    if let Some(info) = remote::running(&data).await {
        println!("Touring the stack that is running at {}.\n", info.api_url);
        return demo::run(&info).await;
    }
    let functions = functions::build().map_err(|error| error.to_string())?;
    let started = std::time::Instant::now();
    let settings = Settings {
        follow_schedules: true,
        packages,
        ..Settings::passing(functions)
    };
    let stack = Stack::start(settings)
        .await
        .map_err(|error| explain(&error))?;
    println!(
        "No stack is running: started one for the tour in {} ms.\n",
        started.elapsed().as_millis()
    );
    let toured = demo::run(stack.info()).await;
    let stopped = stack.shutdown().await.map_err(|error| error.to_string());
    toured.and(stopped)
}

async fn live(settings: &simulate::Settings) -> Result<(), String> {
    let report = simulate::run(settings).await?;
    println!("{report}");
    if report.differences.is_empty() {
        Ok(())
    } else {
        Err("the books do not hold".to_owned())
    }
}

async fn bench(settings: &load::Settings) -> Result<(), String> {
    let report = load::run(settings).await?;
    println!("{report}");
    if report.missing.is_empty() {
        Ok(())
    } else {
        Err("something that was accepted is missing".to_owned())
    }
}

/// An error and what it follows from, in one line each.
fn explain(error: &StartError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn greeting(info: &Info) -> String {
    format!(
        "\
The stack is up. Ctrl-C stops it.

  Console           {}/_console
  HTTP API          {}
  AWS endpoint      {}
  Lambda invoke     {}
  Stripe            {}
  Mailbox           {}
  Portals           {}
  Pusher            http://{}:{}

An admin token, good for a day:

  {}
",
        info.api_url,
        info.api_url,
        info.aws_url,
        info.lambda_url,
        info.stripe_url,
        info.mailbox_url,
        info.portal_url,
        info.pusher.host,
        info.pusher.port,
        info.admin_token
    )
}
