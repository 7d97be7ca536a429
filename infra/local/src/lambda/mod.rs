//! Runs functions as their real binaries over the Runtime API.
//!
//! [`environment`] is one process, [`runtime_api`] what it talks to, [`invoke_api`] what clients
//! talk to, [`sources`] what polls queues and streams, [`gate`] what their own calls pass, [`report`]
//! what an invocation took.

mod asynchronous;
mod environment;
pub mod gate;
pub mod invoke_api;
pub mod report;
mod runtime_api;
pub mod sources;
pub(crate) mod trace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::aws::Identity;
use crate::aws::iam::Iam;
use crate::aws::sqs::Sqs;
use crate::clock::Clock;
use crate::console::recorder::{Invoked, Recorder};
use crate::progress::{Pending, Progress};
use crate::template::model::{Function, Trigger};
use environment::{Ended, Environment};
use gate::{Gate, Upstreams};
use report::{Report, Reports};

/// Largest request or answer of a synchronous invocation, bytes.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// How functions are run.
#[derive(Clone)]
pub struct Settings {
    /// Each function of the template with its executable.
    pub functions: Vec<(Function, PathBuf)>,
    /// Where the stack says it is.
    pub identity: Identity,
    /// Who each function is to AWS.
    pub iam: Iam,
    /// Processes of one function, at most, where its queues do not ask for more.
    pub environments_per_function: usize,
    /// Where each function's log goes, a file each; nowhere in an ephemeral stack.
    pub log_folder: Option<PathBuf>,
    /// Where on-failure destinations are.
    pub sqs: Sqs,
    /// The stack's clock.
    pub clock: Clock,
    /// Told when an invocation begins or ends.
    pub progress: Progress,
    /// Where the functions' calls go, if they are to pass a [`gate`].
    pub gated: Option<Upstreams>,
    /// Where vendors are.
    pub vendors: Vec<String>,
    /// Told of every invocation.
    pub recorder: Recorder,
}

/// The functions of the stack; a cheap handle.
#[derive(Clone)]
pub struct Lambda {
    inner: Arc<Inner>,
}

struct Inner {
    hosts: BTreeMap<String, Host>,
    environments: runtime_api::Environments,
    runtime_api_url: String,
    settings: Settings,
    server: JoinHandle<()>,
    asynchronous: Mutex<BTreeMap<uuid::Uuid, (String, Option<Timestamp>)>>,
    gate: Option<Gate>,
    reports: Reports,
}

/// One function and its processes that wait for work.
struct Host {
    function: Function,
    executable: PathBuf,
    /// Variables that lead its calls through the gate.
    detour: BTreeMap<String, String>,
    idle: Mutex<Vec<Arc<Environment>>>,
    permits: Semaphore,
    in_flight: AtomicUsize,
}

/// What an invocation gave.
#[derive(Debug, Clone)]
pub struct InvokeOutput {
    /// The function's answer, or the error object.
    pub payload: Bytes,
    /// `Handled` (the function said so) or `Unhandled` (it died or timed out).
    pub function_error: Option<FunctionError>,
    /// What it logged meanwhile.
    pub log_tail: String,
    /// The invocation's id.
    pub request_id: String,
}

/// `X-Amz-Function-Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionError {
    /// The handler returned an error.
    Handled,
    /// The process ended, or ran out of time.
    Unhandled,
}

/// An invocation did not take place.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// `ResourceNotFoundException`.
    #[error("Function not found: {0}")]
    NoFunction(String),
    /// `RequestTooLargeException`.
    #[error("Request must be smaller than {MAX_PAYLOAD} bytes for the InvokeFunction operation")]
    TooLarge,
    /// The stack is stopping.
    #[error("the stack is stopping")]
    Stopping,
    /// The process could not be started.
    #[error("{binary} could not be started")]
    Start {
        /// Which binary.
        binary: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// How many environments a function may have: `at_least`, or what its queues may ask for at once.
fn most_environments(at_least: usize, function: &Function) -> usize {
    let asked = function
        .triggers
        .iter()
        .filter_map(|trigger| match trigger {
            Trigger::Sqs(source) => source.maximum_concurrency,
            _ => None,
        });
    let asked = asked.filter_map(|most| usize::try_from(most).ok()).max();
    asked.unwrap_or_default().max(at_least)
}

impl Lambda {
    /// Opens the Runtime API. No function is started before it is invoked.
    pub async fn start(settings: Settings) -> std::io::Result<Self> {
        let environments = runtime_api::Environments::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let runtime_api_url = format!("http://{}", listener.local_addr()?);
        let router = runtime_api::router(environments.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the Runtime API stopped");
            }
        });
        let gate = settings.gated.clone();
        let gate = gate.map(|upstreams| Gate::new(upstreams, environments.clone()));
        let mut hosts = BTreeMap::new();
        for (function, executable) in &settings.functions {
            let detour = match &gate {
                Some(gate) => gate.open(function).await?,
                None => BTreeMap::new(),
            };
            let host = Host {
                function: function.clone(),
                executable: executable.clone(),
                detour,
                idle: Mutex::default(),
                permits: Semaphore::new(most_environments(
                    settings.environments_per_function,
                    function,
                )),
                in_flight: AtomicUsize::new(0),
            };
            hosts.insert(function.binary.clone(), host);
        }
        let inner = Inner {
            hosts,
            environments,
            runtime_api_url,
            settings,
            server,
            asynchronous: Mutex::default(),
            gate,
            reports: Reports::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Invokes a function and waits for its answer. `name` is its binary, logical id, physical
    /// name or ARN.
    ///
    /// Whoever stops waiting does not stop the function: as with Lambda, it runs to its end.
    pub async fn invoke(&self, name: &str, payload: Bytes) -> Result<InvokeOutput, InvokeError> {
        self.invoke_traced(name, payload, None).await
    }

    /// The same, as part of the trace of whoever asks: the header `X-Amzn-Trace-Id`.
    pub async fn invoke_traced(
        &self,
        name: &str,
        payload: Bytes,
        trace: Option<String>,
    ) -> Result<InvokeOutput, InvokeError> {
        let binary = self.host(name)?.function.binary.clone();
        if payload.len() > MAX_PAYLOAD {
            return Err(InvokeError::TooLarge);
        }
        let host = self.host(&binary)?;
        host.in_flight.fetch_add(1, Ordering::SeqCst);
        let this = self.clone();
        let running = tokio::spawn(async move { this.run(&binary, payload, trace).await });
        running.await.unwrap_or(Err(InvokeError::Stopping))
    }

    /// One counted invocation, on a process that waits or a new one.
    async fn run(
        &self,
        binary: &str,
        payload: Bytes,
        trace: Option<String>,
    ) -> Result<InvokeOutput, InvokeError> {
        let host = self.host(binary)?;
        let _counted = Counted {
            count: &host.in_flight,
            progress: &self.inner.settings.progress,
        };
        let _permit = host
            .permits
            .acquire()
            .await
            .map_err(|_| InvokeError::Stopping)?;
        let began = Instant::now();
        let idle = host.idle.lock().expect("no holder panics").pop();
        let environment = match idle {
            Some(environment) if environment.is_alive() => environment,
            _ => self.spawn(host)?,
        };
        if host.permits.is_closed() {
            environment.kill().await;
            return Err(InvokeError::Stopping);
        }
        let request_id = uuid::Uuid::new_v4().to_string();
        let trace = trace::of_invocation(trace.as_deref(), &request_id);
        let is_cold = !environment.has_run();
        let noted = self.inner.settings.recorder.invoked(&Invoked {
            function: binary,
            request_id: &request_id,
            environment: &environment.id,
            is_cold,
            payload: &payload,
        });
        let ended = environment
            .run(&request_id, payload, trace, host.function.timeout)
            .await;
        let took = began.elapsed();
        let log_tail = environment.take_log_tail();
        let (payload, function_error) = match ended {
            Ended::Answered(payload) => (payload, None),
            Ended::Failed(payload) => (payload, Some(FunctionError::Handled)),
            Ended::Exited => {
                let error = format!(
                    "RequestId: {request_id} Error: Runtime exited without providing a reason"
                );
                (
                    error_object("Runtime.ExitError", &error),
                    Some(FunctionError::Unhandled),
                )
            }
            Ended::TimedOut => {
                let seconds = host.function.timeout.as_secs();
                let error = format!(
                    "RequestId: {request_id} Error: Task timed out after {seconds}.00 seconds"
                );
                (
                    error_object("Sandbox.Timedout", &error),
                    Some(FunctionError::Unhandled),
                )
            }
        };
        let output = InvokeOutput {
            payload,
            function_error,
            log_tail,
            request_id,
        };
        self.inner.settings.recorder.returned(noted, &output);
        if function_error == Some(FunctionError::Unhandled) {
            environment.kill().await;
            self.inner.environments.remove(&environment);
        } else {
            let mut idle = host.idle.lock().expect("no holder panics");
            idle.push(environment.clone());
        }
        self.inner.reports.send(|| Report {
            function: binary.to_owned(),
            began,
            took,
            function_error,
            is_cold,
            cpu: environment.cpu_since(),
            peak_memory_kib: environment.peak_memory_kib(),
        });
        Ok(output)
    }

    /// Whether any function runs: the quick answer where [`pending`](Self::pending) says which.
    pub fn is_running(&self) -> bool {
        let mut hosts = self.inner.hosts.values();
        hosts.any(|host| host.in_flight.load(Ordering::SeqCst) > 0)
    }

    /// Invocations under way.
    pub fn pending(&self) -> Vec<Pending> {
        let running = self.inner.hosts.iter().filter_map(|(name, host)| {
            let count = host.in_flight.load(Ordering::SeqCst);
            (count > 0).then(|| Pending::Now(format!("function {name}: {count} running")))
        });
        let asynchronous = self.inner.asynchronous.lock().expect("no holder panics");
        let asynchronous = asynchronous.values().map(|(name, again_at)| {
            let what = format!("asynchronous invocation of {name}");
            again_at.map_or_else(
                || Pending::Now(what.clone()),
                |at| Pending::Later(at, what.clone()),
            )
        });
        running.chain(asynchronous).collect()
    }

    /// Kills every process of a function, as a crash of its machine would.
    pub async fn kill(&self, name: &str) -> Result<(), InvokeError> {
        let binary = &self.host(name)?.function.binary;
        for environment in self.inner.environments.of(binary) {
            environment.kill().await;
            self.inner.environments.remove(&environment);
        }
        Ok(())
    }

    /// The most memory that any living process of a function had in use so far, KiB; known on Linux
    /// only.
    pub fn peak_memory_kib(&self, name: &str) -> Option<u64> {
        let binary = &self.host(name).ok()?.function.binary;
        let living = self.inner.environments.of(binary);
        living.iter().filter_map(|it| it.peak_memory_kib()).max()
    }

    /// The last lines that a function logged, all of its processes together.
    pub fn logs(&self, name: &str) -> Vec<String> {
        let Ok(host) = self.host(name) else {
            return Vec::new();
        };
        self.inner.environments.logs(&host.function.binary)
    }

    /// A function's ARN, or the name itself where there is no such function.
    pub fn arn(&self, name: &str) -> String {
        let Identity {
            region, account, ..
        } = &self.inner.settings.identity;
        self.host(name).map_or_else(
            |_| name.to_owned(),
            |host| {
                format!(
                    "arn:aws:lambda:{region}:{account}:function:{}",
                    host.function.name
                )
            },
        )
    }

    /// What every invocation takes from now on, in the order in which they end; to this receiver
    /// and no longer to an earlier one.
    pub fn reports(&self) -> UnboundedReceiver<Report> {
        self.inner.reports.subscribe()
    }

    /// What the functions' calls pass, where they are to.
    pub fn gate(&self) -> Option<&Gate> {
        self.inner.gate.as_ref()
    }

    /// Names of all functions, as their binaries.
    pub fn functions(&self) -> Vec<String> {
        self.inner.hosts.keys().cloned().collect()
    }

    /// Ends every process; none is left when this returns.
    pub async fn shutdown(&self) {
        // First nobody may start one any more, then the living are ended.
        self.inner
            .hosts
            .values()
            .for_each(|host| host.permits.close());
        for host in self.inner.hosts.values() {
            for environment in self.inner.environments.of(&host.function.binary) {
                environment.kill().await;
            }
        }
        self.inner.server.abort();
        if let Some(gate) = &self.inner.gate {
            gate.close();
        }
    }

    fn host(&self, name: &str) -> Result<&Host, InvokeError> {
        let bare = name.rsplit(':').next().unwrap_or(name);
        let is_meant = |host: &&Host| {
            let function = &host.function;
            [&function.binary, &function.logical_id, &function.name]
                .into_iter()
                .any(|it| it == bare)
        };
        let found = self.inner.hosts.values().find(is_meant);
        found.ok_or_else(|| InvokeError::NoFunction(name.to_owned()))
    }

    fn spawn(&self, host: &Host) -> Result<Arc<Environment>, InvokeError> {
        let log = self.inner.environments.log_of(&host.function.binary);
        let started = self.inner.environments.start(|| {
            Environment::spawn(
                &host.function,
                &host.executable,
                &host.detour,
                &self.inner.runtime_api_url,
                &self.inner.settings,
                log,
            )
        });
        started.map_err(|source| InvokeError::Start {
            binary: host.function.binary.clone(),
            source,
        })
    }
}

/// Counts down when it is dropped, and says that something changed.
struct Counted<'a> {
    count: &'a AtomicUsize,
    progress: &'a Progress,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
        self.progress.touch();
    }
}

fn error_object(kind: &str, message: &str) -> Bytes {
    let object = json!({ "errorType": kind, "errorMessage": message });
    object.to_string().into()
}
