//! The local stack: everything `template.yaml` declares, on a laptop, without Docker, account or
//! network.
//!
//! Nothing about the product is written twice: [`template`] reads the template that deploys it,
//! [`aws`], [`lambda`] and [`http_api`] make what it declares, and [`simulators`] stand in for the
//! vendors behind it. Functions run as their real binaries over the real Runtime API.

pub mod attribute;
pub mod aws;
pub mod backup;
pub mod clock;
pub mod console;
pub mod demo;
pub mod functions;
pub mod http_api;
pub mod lambda;
pub mod load;
pub mod openapi;
pub mod progress;
pub mod redrive;
pub mod remote;
mod rows;
pub mod samples;
pub mod scheduler;
pub mod simulate;
pub mod simulators;
pub mod stack;
pub mod storage;
pub mod template;
