//! Writes the seeds of every target, or of one: `cargo run -p bitflow-fuzz -- FOLDER [TARGET]`.

use std::path::Path;

use bitflow_fuzz::{TARGETS, seeds};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next();
    let folder = folder.unwrap_or_else(|| "target/fuzz/seeds".to_owned());
    let only = arguments.next();
    let wanted = |target: &str| only.as_deref().is_none_or(|only| only == target);
    for (target, _) in TARGETS.iter().filter(|(target, _)| wanted(target)) {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds::of(target).into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
        }
    }
    Ok(())
}
