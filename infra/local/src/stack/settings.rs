//! How a stack is started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::functions::workspace;
use crate::template::model::Function;

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
    /// The functions' own calls pass a [`gate`](crate::lambda::gate), which a test may look into.
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
    pub(super) fn package(&self, function: &Function) -> Option<PathBuf> {
        let folder = self.packages.as_ref()?.join(&function.logical_id);
        Some(folder.join("bootstrap")).filter(|it| it.is_file())
    }
}
