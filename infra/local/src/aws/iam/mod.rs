//! IAM: each function has credentials of its own, and may do with them what the template grants it.
//!
//! [`policy`] says what a statement grants, [`needs`] what a call needs. Whoever comes with other
//! credentials is the account's owner, and may do everything. What event sources do is the
//! service's business and asks nobody here; an on-failure destination is told in the function's
//! name, hence its grant is looked for when the stack starts, as Lambda does when it is deployed.

pub mod needs;
pub mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, Uri, header};
use url::form_urlencoded;

use super::Identity;
use crate::template::model::{Function, Statement, Trigger};
use needs::Need;

/// Who may do what; a cheap handle.
#[derive(Debug, Clone)]
pub struct Iam {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// By access key id.
    roles: BTreeMap<String, Role>,
    used: Mutex<BTreeSet<Grant>>,
    denials: Mutex<Vec<Denied>>,
    identity: Identity,
}

/// A function as AWS knows it when it calls.
#[derive(Debug)]
struct Role {
    binary: String,
    /// `arn:aws:sts::…:assumed-role/<role>/<function>`.
    arn: String,
    statements: Vec<Statement>,
}

/// What a function signs its calls with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Tells who it is.
    pub access_key_id: String,
    /// Proves it, to S3.
    pub secret_access_key: String,
}

/// One action on one resource, as a statement of a function's policy names them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The function, by its binary.
    pub function: String,
    /// Line of the statement in the template.
    pub line: usize,
    /// The action as it is written there.
    pub action: String,
    /// The resource, likewise; references are resolved.
    pub resource: String,
}

/// A call that nothing grants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "User: {caller} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
)]
pub struct Denied {
    /// Who called.
    pub caller: String,
    /// What it would have needed.
    pub action: String,
    /// On what.
    pub resource: String,
}

/// A function may not send to its own on-failure destination.
#[derive(Debug, thiserror::Error)]
#[error(
    "template.yaml:{line}: the role of {function} may not call SendMessage on {queue}, its on-failure destination"
)]
pub struct DestinationError {
    /// Where the function is.
    pub line: usize,
    /// Its logical id.
    pub function: String,
    /// The queue.
    pub queue: String,
}

impl Iam {
    /// The functions' roles.
    ///
    /// # Errors
    /// A function may not tell its on-failure destination.
    pub fn new(functions: &[Function], identity: Identity) -> Result<Self, DestinationError> {
        let account = &identity.account;
        let roles = functions.iter().enumerate().map(|(at, function)| {
            let (id, name) = (&function.logical_id, &function.name);
            let role = Role {
                binary: function.binary.clone(),
                arn: format!("arn:aws:sts::{account}:assumed-role/{id}Role/{name}"),
                statements: function.policies.clone(),
            };
            (format!("ASIALOCALFUNCTION{at:03}"), role)
        });
        let inner = Inner {
            roles: roles.collect(),
            used: Mutex::default(),
            denials: Mutex::default(),
            identity,
        };
        let this = Self {
            inner: Arc::new(inner),
        };
        for function in functions {
            for queue in on_failure_queues(function) {
                let need = Need::new("sqs:SendMessage", this.inner.identity.arn("sqs", queue));
                let key = this.credentials(&function.binary).access_key_id;
                if this.check(Some(&key), &[need]).is_err() {
                    return Err(DestinationError {
                        line: function.line,
                        function: function.logical_id.clone(),
                        queue: queue.to_owned(),
                    });
                }
            }
        }
        Ok(this)
    }

    /// What a function, by its binary, signs with; the owner's where there is no such function.
    pub fn credentials(&self, binary: &str) -> Credentials {
        let Identity {
            access_key_id,
            secret_access_key,
            ..
        } = &self.inner.identity;
        let mut roles = self.inner.roles.iter();
        match roles.find(|(_, role)| role.binary == binary) {
            Some((key, role)) => Credentials {
                access_key_id: key.clone(),
                secret_access_key: role.secret(),
            },
            None => Credentials {
                access_key_id: access_key_id.clone(),
                secret_access_key: secret_access_key.clone(),
            },
        }
    }

    /// Everybody's: the owner's and the functions'.
    pub fn all_credentials(&self) -> Vec<Credentials> {
        let owner = Credentials {
            access_key_id: self.inner.identity.access_key_id.clone(),
            secret_access_key: self.inner.identity.secret_access_key.clone(),
        };
        let functions = self.inner.roles.iter().map(|(key, role)| Credentials {
            access_key_id: key.clone(),
            secret_access_key: role.secret(),
        });
        std::iter::once(owner).chain(functions).collect()
    }

    /// Whether this key is a function's, which may not do everything.
    pub fn is_function(&self, access_key_id: Option<&str>) -> bool {
        self.function(access_key_id).is_some()
    }

    /// The binary of the function that has this key.
    pub fn function(&self, access_key_id: Option<&str>) -> Option<&str> {
        let role = self.inner.roles.get(access_key_id?)?;
        Some(&role.binary)
    }

    /// Lets a call pass whose needs are all granted, and notes by what; of several statements that
    /// grant the same, the first is noted.
    ///
    /// # Errors
    /// The first need that nothing grants.
    pub fn check(&self, access_key_id: Option<&str>, needs: &[Need]) -> Result<(), Denied> {
        let Some(role) = access_key_id.and_then(|key| self.inner.roles.get(key)) else {
            return Ok(());
        };
        let mut used = Vec::new();
        for need in needs {
            let mut statements = role.statements.iter();
            let granted = statements.find_map(|it| Some((it.line, policy::grant(it, need)?)));
            let Some((line, (action, resource))) = granted else {
                let denied = Denied {
                    caller: role.arn.clone(),
                    action: need.action.clone(),
                    resource: need.resource.clone(),
                };
                let mut denials = self.inner.denials.lock().expect("no holder panics");
                denials.push(denied.clone());
                return Err(denied);
            };
            used.push(Grant {
                function: role.binary.clone(),
                line,
                action: action.to_owned(),
                resource: resource.to_owned(),
            });
        }
        let mut noted = self.inner.used.lock().expect("no holder panics");
        noted.extend(used);
        Ok(())
    }

    /// What was denied since this was asked last. A function may pass over a refusal in silence,
    /// where what it asked for was not worth failing for.
    pub fn take_denials(&self) -> Vec<Denied> {
        std::mem::take(&mut *self.inner.denials.lock().expect("no holder panics"))
    }

    /// Every grant that there is.
    pub fn grants(&self) -> BTreeSet<Grant> {
        let roles = self.inner.roles.values();
        roles.flat_map(Role::grants).collect()
    }

    /// Those that let a call pass so far.
    pub fn used(&self) -> BTreeSet<Grant> {
        self.inner.used.lock().expect("no holder panics").clone()
    }
}

impl Role {
    fn secret(&self) -> String {
        format!("local-secret-of-{}", self.binary)
    }

    fn grants(&self) -> impl Iterator<Item = Grant> {
        self.statements.iter().flat_map(|statement| {
            let pairs = statement.actions.iter().flat_map(|action| {
                let resources = statement.resources.iter();
                resources.map(move |resource| (action, resource))
            });
            pairs.map(|(action, resource)| Grant {
                function: self.binary.clone(),
                line: statement.line,
                action: action.clone(),
                resource: resource.clone(),
            })
        })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            line,
            action,
            resource,
        } = self;
        write!(
            f,
            "template.yaml:{line}: {function}: {action} on {resource}"
        )
    }
}

impl Identity {
    /// The ARN of something in this account and region.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        let Self {
            region, account, ..
        } = self;
        format!("arn:aws:{service}:{region}:{account}:{resource}")
    }
}

/// Whose signature a request carries, in its header or, presigned, in its URL.
pub fn access_key_id(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let signed = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once("Credential="))
        .map(|(_, credential)| credential.to_owned());
    let credential = signed.or_else(|| {
        let mut query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let credential = query.find(|(name, _)| name == "X-Amz-Credential");
        credential.map(|(_, value)| value.into_owned())
    })?;
    Some(credential.split('/').next()?.to_owned())
}

/// What Lambda sends to in the function's name.
fn on_failure_queues(function: &Function) -> impl Iterator<Item = &str> {
    let streams = function
        .triggers
        .iter()
        .filter_map(|trigger| match trigger {
            Trigger::Stream(source) => source.on_failure_queue.as_deref(),
            _ => None,
        });
    let asynchronous = function.asynchronous.on_failure_queue.as_deref();
    streams.chain(asynchronous)
}
