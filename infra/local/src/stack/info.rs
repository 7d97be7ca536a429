//! What clients, and the template, need to know of a stack: addresses, keys and secrets.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::aws::Identity;
use crate::http_api::jwt::Grant;
use crate::lambda::gate::Upstreams;
use crate::template;

pub(crate) const STACK_NAME: &str = "bitflow-local";
pub(super) const ACCOUNT: &str = "000000000000";
pub(super) const REGION: &str = "us-east-1";
pub(crate) const AUDIENCE: &str = "bitflow-admin";
pub(super) const STRIPE_SECRET: &str = "sk_test_local";
pub(super) const STRIPE_WEBHOOK_SECRET: &str = "whsec_local";
pub(super) const SENDGRID_API_KEY: &str = "SG.local";
pub(super) const PUSHER: (&str, &str, &str) = ("1", "local-key", "local-secret");

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
pub(super) fn upstreams(info: &Info) -> Upstreams {
    Upstreams {
        aws: info.aws_url.clone(),
        vendors: vendors(info),
        prefix: format!("{STACK_NAME}-"),
    }
}

/// Where each vendor is.
pub(super) fn vendors(info: &Info) -> BTreeMap<&'static str, String> {
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
