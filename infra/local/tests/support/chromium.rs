//! A Chromium for the tests that look at a page.

use std::process::Command;

use super::packages::{of_npm, program};

/// A Chromium for Linux on x86-64.
const CHROMIUM: &str = "@sparticuz/chromium@153.0.0";

/// The system's Chromium, or else that of npm; or why neither can be had.
pub(crate) fn chromium() -> Result<String, String> {
    if let Some(there) = program(&["chromium", "chromium-browser", "google-chrome"]) {
        return Ok(there);
    }
    let modules = of_npm("chromium", &[CHROMIUM])?;
    // It comes packed, and unpacks itself where temporary files are.
    let unpack = "import chromium from '@sparticuz/chromium';
        process.stdout.write(await chromium.executablePath());";
    let unpacked = Command::new("node")
        .args(["--input-type=module", "--eval", unpack])
        .env("TMPDIR", &modules)
        .current_dir(&modules)
        .output();
    let unpacked = unpacked.map_err(|error| format!("node cannot unpack Chromium: {error}"))?;
    let path = String::from_utf8_lossy(&unpacked.stdout);
    program(&[&path]).ok_or_else(|| "Chromium is missing, and npm's does not run here".to_owned())
}
