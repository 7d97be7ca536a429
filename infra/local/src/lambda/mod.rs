//! Runs functions as their real binaries over the Runtime API.
