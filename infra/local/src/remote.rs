//! What the other commands need of a stack that is running. Where none is, they fail, and say how one
//! is started. Errors are sentences for who typed the command.

use std::path::{Path, PathBuf};

use bitflow_domain::id::UniversityId;
use bitflow_store::universities::Universities;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use crate::backup::{BackupError, Manifest, Place};
use crate::functions::workspace;
use crate::http_api::jwt::Issuer;
use crate::redrive;
use crate::samples::{Secrets, caller, sign_anew};
use crate::stack::{
    ALL_SCOPES, AUDIENCE, Info, STACK_NAME, admin, bucket, dynamo, s3, template_settings,
};
use crate::template;
use crate::template::model::{Model, Trigger};

/// Says in the data folder that a stack is running, and where.
pub fn announce(data: &Path, ready: &str) -> Result<(), String> {
    write(&file(data), ready)
}

/// Takes that back.
pub fn withdraw(data: &Path) {
    // Not there is as good as removed.
    let _ = std::fs::remove_file(file(data));
}

/// Writes a file whole or not at all, so that whoever waits for it never reads half of it.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, text)
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(|error| format!("{} could not be written: {error}", path.display()))
}

/// The stack that is running with this data folder, if one answers.
pub async fn running(data: &Path) -> Option<Info> {
    let info: Info = serde_json::from_slice(&std::fs::read(file(data)).ok()?).ok()?;
    let health = reqwest::get(format!("{}/api/health", info.api_url))
        .await
        .ok()?;
    health.status().is_success().then_some(info)
}

/// Prints a token of the running stack's issuer.
pub fn token(data: &Path, scopes: &[String]) -> Result<(), String> {
    let info = announced(data)?;
    let issuer = Issuer::new(
        format!("{}/_issuer", info.api_url),
        AUDIENCE.to_owned(),
        Some(data),
    )
    .map_err(|error| error.to_string())?;
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let grant = admin(if scopes.is_empty() {
        &ALL_SCOPES
    } else {
        &scopes
    });
    println!("{}", issuer.mint(&grant, now()));
    Ok(())
}

/// Invokes a function with the event in a file (signed anew, where somebody signs it), and
/// prints its answer.
///
/// # Errors
/// Also where the function fails, once its answer is printed.
pub async fn invoke(data: &Path, function: &str, event: &Path) -> Result<(), String> {
    let info = announced(data)?;
    let event = sample(&info, event).await?;
    call(&info, function, event.to_string().into()).await
}

/// Prints the event in a file, signed anew, for other clients.
pub async fn print_sample(data: &Path, event: &Path) -> Result<(), String> {
    println!("{}", sample(&announced(data)?, event).await?);
    Ok(())
}

/// The event in a file, signed anew where somebody signs it.
pub(crate) async fn sample(info: &Info, event: &Path) -> Result<Value, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", event.display());
    let text = std::fs::read(event).map_err(|error| wrong(&error))?;
    let mut event = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    let secrets = Secrets {
        stripe: info.stripe_webhook_secret.clone().into(),
        portal: portal_secret(info, &event).await?,
    };
    sign_anew(&mut event, &secrets, now());
    Ok(event)
}

/// What the portal of the university that a sample names signs with, if the stack has that one.
async fn portal_secret(info: &Info, event: &Value) -> Result<Option<SecretString>, String> {
    let Some(Ok(id)) = caller(event).map(|id| UniversityId::parse(&id)) else {
        return Ok(None);
    };
    let table = format!("{STACK_NAME}-universities");
    let universities = Universities::new(&dynamo(&info.aws, &info.aws_url), table);
    let found = universities.get(id).await;
    let found = found.map_err(|error| format!("the stack did not answer: {error}"))?;
    Ok(found.map(|university| university.portal_secrets.current))
}

/// Invokes a job with what its schedule would send at `at`, and prints its answer.
///
/// # Errors
/// Where there is no such job, with a schedule; and where it fails, once its answer is printed.
pub async fn fire(data: &Path, job: &str, at: Timestamp) -> Result<(), String> {
    let info = announced(data)?;
    let model = model(&info)?;
    let triggers = model
        .functions
        .iter()
        .filter(|it| it.binary == job)
        .flat_map(|it| &it.triggers);
    let schedule = triggers
        .into_iter()
        .find_map(|trigger| match trigger {
            Trigger::Schedule(schedule) => Some(schedule),
            _ => None,
        })
        .ok_or_else(|| format!("{STACK_NAME} has no scheduled job {job}"))?;
    call(&info, job, crate::scheduler::input(schedule, at).to_vec()).await
}

/// Moves what lies in a dead-letter queue back to where it was given up, and says how much it was.
pub async fn redrive(data: &Path, queue: &str) -> Result<(), String> {
    let info = announced(data)?;
    let moved = redrive::run(&info, &model(&info)?, queue).await?;
    println!("{moved}");
    Ok(())
}

/// Where a backup comes from or goes to.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// A deployed stack, reached as the AWS CLI would; without it, the one that is running here.
    #[arg(long, value_name = "NAME", requires = "bucket")]
    stack_name: Option<String>,
    /// The deployed stack's bucket of files (its output `FilesBucket`).
    #[arg(long, value_name = "BUCKET", requires = "stack_name")]
    bucket: Option<String>,
}

/// Backs up a stack's tables into its bucket.
pub async fn back_up(data: &Path, target: &Target) -> Result<(), String> {
    let place = place(data, target).await?;
    let (name, manifest) = place.back_up(now()).await.map_err(explained)?;
    print_tables(&manifest);
    println!("Backed up as {name}.");
    Ok(())
}

/// Restores a backup into a stack whose tables are empty.
pub async fn restore(data: &Path, target: &Target, name: &str) -> Result<(), String> {
    let place = place(data, target).await?;
    let manifest = place.restore(name).await.map_err(explained)?;
    print_tables(&manifest);
    println!("Restored {name}.");
    Ok(())
}

async fn place(data: &Path, target: &Target) -> Result<Place, String> {
    let (Some(stack_name), Some(named)) = (&target.stack_name, &target.bucket) else {
        let info = announced(data)?;
        let model = model(&info)?;
        let (dynamo, s3) = (
            dynamo(&info.aws, &info.aws_url),
            s3(&info.aws, &info.aws_url),
        );
        let bucket = bucket(&model);
        return Ok(Place::new(dynamo, s3, &model, STACK_NAME, bucket));
    };
    // What its tables are called follows from the template and the name alone.
    let placeholder = Info::default();
    let mut settings = template_settings(&placeholder.identity(), &placeholder);
    settings.stack_name.clone_from(stack_name);
    let model = template::read(&workspace().join("template.yaml"), &settings)
        .map_err(|error| error.to_string())?;
    let aws = aws_config::load_from_env().await;
    let (dynamo, s3) = (
        aws_sdk_dynamodb::Client::new(&aws),
        aws_sdk_s3::Client::new(&aws),
    );
    Ok(Place::new(dynamo, s3, &model, stack_name, named.clone()))
}

fn model(info: &Info) -> Result<Model, String> {
    let settings = template_settings(&info.identity(), info);
    template::read(&workspace().join("template.yaml"), &settings).map_err(|error| error.to_string())
}

fn print_tables(manifest: &Manifest) {
    for file in &manifest.tables {
        println!("{:>9} {}", file.rows, file.table);
    }
}

/// The error and all that is behind it.
fn explained(error: BackupError) -> String {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}

async fn call(info: &Info, function: &str, payload: Vec<u8>) -> Result<(), String> {
    let url = format!(
        "{}/2015-03-31/functions/{function}/invocations",
        info.lambda_url
    );
    let answer = reqwest::Client::new().post(url).body(payload).send().await;
    let answer = answer.map_err(|error| format!("the stack did not answer: {error}"))?;
    let failed =
        !answer.status().is_success() || answer.headers().contains_key("x-amz-function-error");
    let body = answer.text().await.map_err(|error| error.to_string())?;
    let pretty = serde_json::from_str::<Value>(&body)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or(body);
    println!("{pretty}");
    if failed {
        Err(format!("{function} failed"))
    } else {
        Ok(())
    }
}

fn announced(data: &Path) -> Result<Info, String> {
    let text = std::fs::read(file(data))
        .map_err(|_| "no stack is running; start one with `cargo local`".to_owned())?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file(data).display()))
}

fn file(data: &Path) -> PathBuf {
    data.join("ready.json")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a token's time is read by another process"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
