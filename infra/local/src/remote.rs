//! What the other commands need of a stack that is running.

use std::path::{Path, PathBuf};

use bitflow_domain::id::UniversityId;
use bitflow_store::universities::Universities;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use crate::functions::workspace;
use crate::http_api::jwt::Issuer;
use crate::samples::{Secrets, caller, sign_anew};
use crate::stack::{ALL_SCOPES, AUDIENCE, Info, STACK_NAME, admin, dynamo, template_settings};
use crate::template::{self, model::Trigger};

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

async fn sample(info: &Info, event: &Path) -> Result<Value, String> {
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
pub async fn fire(data: &Path, job: &str, at: Timestamp) -> Result<(), String> {
    let info = announced(data)?;
    let settings = template_settings(&info.identity(), &info);
    let model = template::read(&workspace().join("template.yaml"), &settings)
        .map_err(|error| error.to_string())?;
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
