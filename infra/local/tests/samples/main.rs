//! Every file below `events/` is run, and answers and does what it should.
//!
//! Each function has a stack of its own, with what its samples are about.

mod answers;
mod apis;
mod flows;
mod grants;
mod jobs;
mod listeners;
mod run;
mod seed;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use bitflow_local::functions::workspace;

use crate::answers::ALL;
use crate::run::Samples;

#[test]
fn every_file_is_a_sample_and_every_function_has_one() {
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    };
    let events = workspace().join("events");
    let functions: BTreeSet<String> = ALL.iter().map(|it| it.function.to_owned()).collect();
    assert_eq!(names(&events), functions);
    assert_eq!(names(&workspace().join("functions")), functions);
    for Samples { function, answers } in ALL {
        let run = answers.iter().map(|(file, _)| (*file).to_owned());
        assert_eq!(names(&events.join(function)), run.collect(), "{function}");
    }
}
