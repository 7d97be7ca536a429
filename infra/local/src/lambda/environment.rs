//! One execution environment: a process, the work it is given, and its log.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};

use super::Settings;
use super::report;
use crate::console::witness;
use crate::template::model::Function;

/// Lines of log kept in memory for each function.
const LOG_LINES: usize = 2000;

/// Bytes of log that an invocation's answer may carry (`X-Amz-Log-Result`).
const LOG_TAIL: usize = 4096;

/// A process that runs a function.
pub(super) struct Environment {
    pub(super) id: String,
    pub(super) binary: String,
    pub(super) arn: String,
    process_id: Option<u32>,
    work: mpsc::UnboundedSender<Work>,
    pub(super) waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Work>>,
    answer: Mutex<Option<(String, oneshot::Sender<Ended>)>>,
    kill: mpsc::UnboundedSender<()>,
    exited: watch::Receiver<bool>,
    tail: Arc<Mutex<String>>,
    fetched: AtomicBool,
    /// What it had used when it was last asked.
    cpu: Mutex<Duration>,
}

/// One invocation, to be fetched by the process.
pub(super) struct Work {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) trace: String,
    pub(super) deadline_ms: i64,
}

/// How an invocation ended.
pub(super) enum Ended {
    Answered(Bytes),
    Failed(Bytes),
    Exited,
    TimedOut,
}

/// The last lines that a function logged.
pub(super) type Log = Arc<Mutex<VecDeque<String>>>;

impl Environment {
    /// Starts a process, with the environment that Lambda gives it and nothing else.
    pub(super) fn spawn(
        function: &Function,
        executable: &Path,
        detour: &BTreeMap<String, String>,
        runtime_api_url: &str,
        settings: &Settings,
        log: Log,
    ) -> std::io::Result<Arc<Self>> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let identity = &settings.identity;
        let credentials = settings.iam.credentials(&function.binary);
        let address = format!("{runtime_api_url}/{id}");
        // A gate has doors of its own, which tell whose a call is.
        let detour = if detour.is_empty() {
            witness::named(&function.environment, &settings.vendors, &id)
        } else {
            detour.clone()
        };
        let mut child = Command::new(executable)
            .env_clear()
            .envs(&function.environment)
            .env("AWS_LAMBDA_RUNTIME_API", &address)
            .env("AWS_LAMBDA_FUNCTION_NAME", &function.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env(
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                function.memory_mb.to_string(),
            )
            .env(
                "AWS_LAMBDA_LOG_GROUP_NAME",
                format!("/aws/lambda/{}", function.name),
            )
            .env("AWS_LAMBDA_LOG_STREAM_NAME", &id)
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("_HANDLER", "bootstrap")
            .env("AWS_REGION", &identity.region)
            .env("AWS_DEFAULT_REGION", &identity.region)
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
            .env("AWS_ENDPOINT_URL", &identity.aws_url)
            .envs(detour)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for the stack, which ends its processes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let process_id = child.id();
        let tail = Arc::new(Mutex::new(String::new()));
        let file = settings
            .log_folder
            .as_ref()
            .map(|folder| folder.join(format!("{}.log", function.binary)));
        if let Some(out) = child.stdout.take() {
            tokio::spawn(keep(
                BufReader::new(out),
                log.clone(),
                tail.clone(),
                file.clone(),
            ));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(keep(BufReader::new(err), log, tail.clone(), file));
        }
        let (work, waiting) = mpsc::unbounded_channel();
        let (kill, killed) = mpsc::unbounded_channel();
        let (exit, exited) = watch::channel(false);
        tokio::spawn(watch_over(child, killed, exit));
        Ok(Arc::new(Self {
            id,
            binary: function.binary.clone(),
            arn: format!(
                "arn:aws:lambda:{}:{}:function:{}",
                identity.region, identity.account, function.name
            ),
            process_id,
            work,
            waiting: tokio::sync::Mutex::new(waiting),
            answer: Mutex::new(None),
            kill,
            exited,
            tail,
            fetched: AtomicBool::new(false),
            cpu: Mutex::default(),
        }))
    }

    /// What a process that has not fetched anything yet may take on top: Lambda's init phase.
    fn start_up(&self) -> Duration {
        let fresh = !self.fetched.swap(true, Ordering::SeqCst);
        if fresh {
            Duration::from_secs(10)
        } else {
            Duration::ZERO
        }
    }

    /// Whether it was given anything yet.
    pub(super) fn has_run(&self) -> bool {
        self.fetched.load(Ordering::SeqCst)
    }

    pub(super) fn is_alive(&self) -> bool {
        !*self.exited.borrow()
    }

    /// The most memory that the process had in use so far, KiB; known on Linux only.
    pub(super) fn peak_memory_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id?)).ok()?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        peak.split_whitespace().next()?.parse().ok()
    }

    /// The CPU time that the process used since this was last asked, or since its start; known on
    /// Linux only.
    pub(super) fn cpu_since(&self) -> Option<Duration> {
        let used = report::cpu(self.process_id?)?;
        let before = std::mem::replace(&mut *self.cpu.lock().expect("no holder panics"), used);
        Some(used.saturating_sub(before))
    }

    /// Gives the process one invocation, and waits for how it ends.
    pub(super) async fn run(
        &self,
        request_id: &str,
        payload: Bytes,
        trace: String,
        timeout: Duration,
    ) -> Ended {
        let (sender, answered) = oneshot::channel();
        *self.answer.lock().expect("no holder panics") = Some((request_id.to_owned(), sender));
        self.tail.lock().expect("no holder panics").clear();
        let deadline_ms = deadline_ms(timeout);
        let work = Work {
            request_id: request_id.to_owned(),
            payload,
            trace,
            deadline_ms,
        };
        if self.work.send(work).is_err() {
            return Ended::Exited;
        }
        let mut exited = self.exited.clone();
        tokio::select! {
            biased;
            ended = answered => ended.unwrap_or(Ended::Exited),
            _ = exited.wait_for(|exited| *exited) => Ended::Exited,
            () = tokio::time::sleep(self.start_up() + timeout) => Ended::TimedOut,
        }
    }

    /// The process says how an invocation ended; false where nobody waits for that one.
    pub(super) fn end(&self, request_id: &str, ended: Ended) -> bool {
        let mut answer = self.answer.lock().expect("no holder panics");
        match answer.take() {
            Some((expected, sender)) if expected == request_id => sender.send(ended).is_ok(),
            other => {
                *answer = other;
                false
            }
        }
    }

    pub(super) fn take_log_tail(&self) -> String {
        std::mem::take(&mut *self.tail.lock().expect("no holder panics"))
    }

    /// Ends the process; it is gone when this returns.
    pub(super) async fn kill(&self) {
        // A process that is gone already has nobody to tell.
        let _ = self.kill.send(());
        let _ = self.exited.clone().wait_for(|exited| *exited).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process reads its deadline by the real clock"
)]
fn deadline_ms(timeout: Duration) -> i64 {
    (jiff::Timestamp::now() + timeout).as_millisecond()
}

/// Waits for the process to end, or ends it.
async fn watch_over(
    mut child: Child,
    mut killed: mpsc::UnboundedReceiver<()>,
    exit: watch::Sender<bool>,
) {
    tokio::select! {
        _ = child.wait() => {}
        _ = killed.recv() => {
            if let Err(error) = child.kill().await {
                tracing::warn!(%error, "a function's process could not be killed");
            }
        }
    }
    exit.send_replace(true);
}

/// Keeps what a process logs: in memory, in the running invocation's tail, and in a file.
async fn keep<R: tokio::io::AsyncRead + Unpin>(
    lines: BufReader<R>,
    log: Log,
    tail: Arc<Mutex<String>>,
    file: Option<std::path::PathBuf>,
) {
    let mut lines = lines.lines();
    let mut file = file.and_then(|path| {
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .ok()
    });
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(file) = &mut file
            && let Err(error) = writeln!(file, "{line}")
        {
            tracing::warn!(%error, "a function's log could not be written");
        }
        {
            let mut tail = tail.lock().expect("no holder panics");
            tail.push_str(&line);
            tail.push('\n');
            let mut cut = tail.len().saturating_sub(LOG_TAIL);
            while !tail.is_char_boundary(cut) {
                cut += 1;
            }
            tail.drain(..cut);
        }
        let mut log = log.lock().expect("no holder panics");
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}
