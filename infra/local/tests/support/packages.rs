//! Other languages' packages: installed below the target folder once, and used by later runs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// For a test that lacks what it needs, and passes without: says so. Where `NO_SKIPPED_TESTS` is set,
/// the test fails.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests alone")]
pub(crate) fn skip(why: &str) {
    let wanted = std::env::var_os("NO_SKIPPED_TESTS").is_some();
    assert!(!wanted, "not to be skipped: {why}");
    eprintln!("skipped: {why}");
}

/// The first of these programs that is there.
pub(crate) fn program(names: &[&str]) -> Option<String> {
    let runs = |name: &&&str| {
        let ran = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ran.is_ok_and(|status| status.success())
    };
    names.iter().find(runs).map(|name| (*name).to_owned())
}

/// The `node_modules` with these packages of npm, each with its version; or why they cannot be had.
pub(crate) fn of_npm(folder: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let npm = program(&["npm"]).ok_or("npm is missing")?;
    let folder = once(folder, packages, |folder| {
        let mut install = Command::new(npm);
        install.args(["install", "--loglevel=error", "--no-audit", "--no-fund"]);
        install.arg("--prefix").arg(folder).args(packages);
        run(install)
    })?;
    Ok(folder.join("node_modules"))
}

/// A Python with these packages of PyPI, each with its version; or why they cannot be had.
pub(crate) fn of_python(folder: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let python = program(&["python3"]).ok_or("python3 is missing")?;
    let inner = |folder: &Path| folder.join("bin/python");
    let folder = once(folder, packages, |folder| {
        let mut make = Command::new(python);
        make.args(["-m", "venv"]).arg(folder);
        run(make)?;
        let mut install = Command::new(inner(folder));
        install.args(["-m", "pip", "install", "-qq"]).args(packages);
        run(install)
    })?;
    Ok(inner(&folder))
}

/// A folder of this name with all of these packages in it: one that a run left half done, or with
/// other versions, is made anew, and runs at the same time wait for each other.
fn once(
    name: &str,
    packages: &[&str],
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = target.join(name);
    let wanted = packages.join("\n");
    let installed = folder.join("installed");
    let lock = File::create(target.join(format!("{name}.lock"))).expect("a lock");
    lock.lock().expect("locked");
    if fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
        _ => fs::create_dir_all(&folder).expect("a folder"),
    }
    install(&folder)?;
    fs::write(installed, wanted).expect("noted");
    Ok(folder)
}

fn run(mut command: Command) -> Result<(), String> {
    let program = Path::new(command.get_program()).display().to_string();
    let failed = |why: &str| Err(format!("{program} cannot install: {why}"));
    match command.output() {
        Ok(ran) if ran.status.success() => Ok(()),
        Ok(ran) => {
            let said = [ran.stderr, ran.stdout].concat();
            let said = String::from_utf8_lossy(&said);
            let first = said.lines().find(|line| !line.trim().is_empty());
            failed(first.unwrap_or("it does not say why"))
        }
        Err(error) => failed(&error.to_string()),
    }
}
