//! What the pages for people say, held against the code where that is cheap.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use bitflow_events::SOURCE;
use bitflow_events::payload::Payload;
use bitflow_local::functions::workspace;
use bitflow_local::template::model::{Model, Trigger};
use bitflow_portal::picture::Picture;
use bitflow_portal::stripe_events::followed;
use bitflow_runtime::config;
use bitflow_stripe::API_VERSION;
use bitflow_university::sign;
use jiff::Timestamp;
use serde_json::Value;

/// Variables of the contract's that the pages tell of, and that are none of ours.
const OF_THE_CONTRACT: [&str; 2] = ["AWS_ACCESS_KEY_ID", "PUSHER_APP_CLUSTER"];

/// Texts in the log that Lambda writes.
const OF_LAMBDA: [&str; 3] = ["Runtime.ExitError", "Task timed out", "Sandbox"];

#[test]
fn every_link_and_every_sample_is_there() {
    let mut missing = Vec::new();
    for path in pages(&workspace()) {
        let page = std::fs::read_to_string(&path).unwrap();
        let text = prose(&page);
        let links = text.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split([')', '#']).next());
        let relative = links.filter(|link| !link.is_empty() && !link.contains(':'));
        let linked = relative.map(|link| path.parent().unwrap().join(link));
        let words = page.split_whitespace();
        let samples = words.filter(|it| it.starts_with("events/") && !it.contains('<'));
        let samples = samples.filter(|it| Path::new(it).extension().is_some_and(|it| it == "json"));
        let samples = samples.map(|sample| workspace().join(sample));
        let gone = linked.chain(samples).filter(|it| !it.exists());
        missing.extend(gone.map(|it| format!("{} → {}", path.display(), it.display())));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_readme_asks_for_the_rust_of_the_manifest() {
    let manifest = read("Cargo.toml");
    let (_, version) = manifest.split_once("\nrust-version = \"").unwrap();
    let version = version.split('"').next().unwrap();
    let told = format!("With Rust {version} or later installed");
    assert!(read("README.md").contains(&told), "{told}");
}

/// What the README sends is in the repository; a picture is one that is taken as a logo.
#[test]
fn every_file_that_the_readme_sends_is_there() {
    let readme = read("README.md");
    let files = readme.split("--data-binary @").skip(1);
    let files: Vec<&str> = files
        .filter_map(|it| it.split_whitespace().next())
        .collect();
    assert!(!files.is_empty());
    for file in files {
        let bytes = std::fs::read(workspace().join(file)).unwrap_or_else(|_| panic!("{file}"));
        Picture::read(bytes.into()).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

#[test]
fn the_readme_has_every_integration() {
    let readme = read("README.md");
    let pages = pages(&workspace().join("infra/integrations"));
    assert!(!pages.is_empty());
    for page in pages {
        let page = page.strip_prefix(workspace()).unwrap().display();
        assert!(readme.contains(&format!("]({page})")), "{page}");
    }
}

/// Each event has a section of its own, with all of its fields and all who consume it.
#[tokio::test]
async fn the_events_are_those_of_the_code() {
    let page = read("infra/integrations/events.md");
    let model = super::model().await;
    let sections: Vec<(&str, &str)> = page
        .split("\n### ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap())
        .collect();
    let named: BTreeSet<&str> = sections.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, Payload::KINDS.iter().copied().collect());
    assert_eq!(sections.len(), named.len(), "one section each");
    for (name, section) in sections {
        let told: BTreeSet<&str> = rows(section, "| field |")
            .into_iter()
            .flat_map(|row| code(row[0]))
            .collect();
        let data = &on_the_wire(name)["data"];
        let fields = data.as_object().unwrap().keys().map(String::as_str);
        assert_eq!(told, fields.collect(), "{name}: the fields");

        let mut consumers = section
            .lines()
            .filter_map(|it| it.strip_prefix("Consumed by "));
        let told: BTreeSet<&str> = code(consumers.next().unwrap()).collect();
        let rules = listeners(&model).into_iter();
        let consuming = rules.filter(|(kinds, _)| kinds.contains(name));
        let consuming: BTreeSet<String> = consuming.map(|(_, listener)| listener).collect();
        let consuming = consuming.iter().map(String::as_str).collect();
        assert_eq!(told, consuming, "{name}: who consumes it");
    }
    let envelope = on_the_wire(Payload::KINDS[0]);
    let fields = envelope.as_object().unwrap().keys().map(String::as_str);
    let told = rows(&page, "| field of the envelope |").into_iter();
    let told: BTreeSet<&str> = told.flat_map(|row| code(row[0])).collect();
    assert_eq!(told, fields.collect(), "the envelope");
    assert!(page.contains(&format!("`{SOURCE}`")));
}

/// The tables of what is mailed and what is pushed have the events of the rules.
#[tokio::test]
async fn what_is_mailed_and_pushed_is_what_the_rules_say() {
    let model = super::model().await;
    for (page, listener) in [
        ("infra/integrations/sendgrid.md", "email-listener"),
        ("infra/integrations/pusher.md", "realtime-listener"),
    ] {
        let page = read(page);
        let told = rows(&page, "| event |").into_iter();
        let told: BTreeSet<&str> = told.flat_map(|row| code(row[0])).collect();
        let rules = listeners(&model).into_iter().filter(|it| it.1 == listener);
        let kinds: BTreeSet<String> = rules.flat_map(|(kinds, _)| kinds).collect();
        let kinds = kinds.iter().map(String::as_str).collect();
        assert_eq!(told, kinds, "{listener}");
    }
}

/// In the page, and where README and DEPLOY say what to register the endpoint for.
#[test]
fn the_events_of_stripe_are_those_that_are_followed() {
    let page = read("infra/integrations/stripe.md");
    let told = rows(&page, "| event |").into_iter();
    let told: BTreeSet<&str> = told.flat_map(|row| code(row[0])).collect();
    assert_eq!(told, followed().collect());
    let readme = read("README.md");
    for kind in followed() {
        assert!(readme.contains(&format!("`{kind}`")), "README.md: {kind}");
    }
    let deploy = read("infra/DEPLOY.md");
    let registered = deploy.split("-d 'enabled_events[]=").skip(1);
    let registered: Vec<&str> = registered.filter_map(|it| it.split('\'').next()).collect();
    assert_eq!(registered.len(), followed().count(), "{registered:?}");
    assert_eq!(BTreeSet::from_iter(registered), followed().collect());
}

#[tokio::test]
async fn variables_and_parameters_that_are_named_exist() {
    let model = super::model().await;
    for path in pages(&workspace().join("infra/integrations")) {
        let (page, name) = (std::fs::read_to_string(&path).unwrap(), path.display());
        let text = prose(&page);
        let upper = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_';
        let variables = code(&text).filter(|it| it.contains('_') && it.chars().all(upper));
        for variable in variables.filter(|it| !OF_THE_CONTRACT.contains(it)) {
            let known = config::ALL.iter().any(|it| it.name == variable);
            assert!(known, "{name}: {variable}");
        }
        for row in rows(&page, "| variable | default |") {
            for variable in code(row[0]) {
                let known = config::ALL.iter().find(|it| it.name == variable);
                let default = known.unwrap().default;
                assert_eq!(code(row[1]).next(), default, "{name}: {variable}");
            }
        }
        for rest in text.split("parameter `").skip(1) {
            let parameter = rest.split('`').next().unwrap();
            assert!(
                model.parameters.contains_key(parameter),
                "{name}: {parameter}"
            );
        }
    }
}

/// What a page quotes of the log is what its reader looks for: the code writes it so.
#[test]
fn what_is_quoted_of_the_log_is_written() {
    let written = literals();
    let runbook = workspace().join("infra/RUNBOOK.md");
    let integrations = pages(&workspace().join("infra/integrations"));
    let mut quoted = 0;
    for path in integrations.into_iter().chain([runbook]) {
        let page = std::fs::read_to_string(&path).unwrap();
        let text = prose(&page);
        let between = |begin, end| {
            let rests = page.split(begin).skip(1);
            rests.filter_map(move |rest: &str| rest.split(end).next())
        };
        let filters = between("like /", '/').flat_map(|it| it.split('|'));
        let filters = filters.filter(|it| !OF_LAMBDA.contains(it));
        // Of a pattern, what it begins with; a number in it is filled in.
        let begins = |it: char| !is_prose(it) || it.is_ascii_digit();
        let filters = filters.filter_map(|it| it.split(begins).next());
        let sentences = code(&text).filter(|it| is_sentence(it));
        for quote in sentences.chain(filters).chain(between("grep '", '\'')) {
            let parts = || quote.split('…').map(str::trim);
            let found = written.iter().any(|line| {
                let mut rest = Some(&**line);
                parts().all(|part| {
                    rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
                    rest.is_some()
                })
            });
            assert!(found, "{}: no code writes `{quote}`", path.display());
            quoted += 1;
        }
    }
    assert!(quoted > 0, "nothing is quoted");
}

/// Two words or more, and no command.
fn is_sentence(quote: &str) -> bool {
    let words: Vec<&str> = quote.split(' ').collect();
    let command = ["aws", "cargo", "redrive"].contains(&words[0]);
    let option = words.iter().any(|it| it.starts_with('-'));
    words.len() > 1 && !command && !option && quote.chars().all(|it| is_prose(it) || it == '…')
}

fn is_prose(it: char) -> bool {
    it.is_ascii_alphanumeric() || " -,'".contains(it)
}

/// The lines of what is deployed, without comments and tests. Words with spaces between them are
/// texts there.
fn literals() -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![workspace().join("lib"), workspace().join("functions")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|it| it != "tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let source = std::fs::read_to_string(path).unwrap();
                let source = source.split("#[cfg(test)]\nmod ").next().unwrap();
                let source = source.lines().filter_map(|it| it.split("//").next());
                lines.extend(source.map(str::to_owned));
            }
        }
    }
    lines
}

#[test]
fn the_design_names_every_command() {
    let help = Command::new(env!("CARGO_BIN_EXE_bitflow-local"))
        .arg("--help")
        .output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let (_, commands) = help.split_once("\nCommands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let commands = commands
        .lines()
        .filter_map(|it| it.split_whitespace().next());
    let commands: BTreeSet<&str> = commands.filter(|it| *it != "help").collect();
    let page = read("infra/ARCHITECTURE.md");
    let list = page
        .lines()
        .find(|it| it.starts_with("- `cargo local` (up)"));
    let told = code(list.unwrap()).filter_map(|it| it.split(' ').nth(2));
    assert_eq!(told.collect::<BTreeSet<_>>(), commands);
}

/// Whoever writes a portal holds their code against the example.
#[test]
fn the_example_of_a_signature_is_right() {
    let page = read("infra/integrations/portals.md");
    let of = |begin: &str| {
        let rest = page.split_once(begin).unwrap().1;
        rest.lines().next().unwrap().trim_matches('\'')
    };
    let at = Timestamp::from_second(of("$ T=").parse().unwrap()).unwrap();
    let header = sign(&of("$ SECRET=").into(), of("$ BODY=").as_bytes(), at);
    let (_, digest) = header.split_once("v1=").unwrap();
    // As the command prints it; then in the header, in PHP, Python and Node.
    assert_eq!(page.matches(digest).count(), 5, "{digest}");
    assert_eq!(page.matches(&header).count(), 4, "{header}");
}

/// CloudFormation does not see what a secret holds, so a rotation is a secret of another name.
#[test]
fn no_page_changes_a_secret_in_place() {
    for path in pages(&workspace()) {
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(!page.contains("put-secret-value"), "{}", path.display());
    }
}

/// An endpoint of another version would be sent objects of other shapes.
#[test]
fn the_endpoint_at_stripe_is_of_our_version() {
    let mut told = 0;
    for path in pages(&workspace()) {
        let page = std::fs::read_to_string(&path).unwrap();
        for rest in page.split("--api-version ").skip(1) {
            let version = rest.split_whitespace().next();
            assert_eq!(version, Some(API_VERSION), "{}", path.display());
            told += 1;
        }
    }
    assert!(told > 0, "no page says how the endpoint is registered");
}

/// An account that is new may run fewer functions at a time than the queues ask for.
#[tokio::test]
async fn what_the_queues_ask_for_at_a_time_is_told() {
    let model = super::model().await;
    let triggers = model.functions.iter().flat_map(|it| &it.triggers);
    let asked = triggers.map(|it| match it {
        Trigger::Sqs(source) => source.maximum_concurrency.unwrap(),
        _ => 0,
    });
    let told = format!("ask for {} between", asked.sum::<u32>());
    assert!(read("infra/DEPLOY.md").contains(&told), "{told}");
}

/// Each metric of an alarm is paid for.
#[tokio::test]
async fn what_is_paid_for_alarms_is_what_they_watch() {
    let model = super::model().await;
    let alarms = model.elsewhere.iter();
    let alarms = alarms.filter(|it| it.kind == "AWS::CloudWatch::Alarm");
    let metrics = alarms.map(|alarm| match alarm.properties["Metrics"].as_array() {
        Some(queries) => queries
            .iter()
            .filter(|it| it.get("MetricStat").is_some())
            .count(),
        None => 1,
    });
    let metrics: usize = metrics.sum();
    let page = read("infra/DEPLOY.md");
    let prices = rows(&page, "| | price |");
    let alarms = prices.iter().find(|row| row[0] == "Alarms").unwrap();
    let told = format!("0.10 for each metric of an alarm, {metrics}");
    assert_eq!(alarms[1], told);
    assert_eq!(cents(alarms[2]), i64::try_from(metrics * 10).unwrap());
}

#[test]
fn what_it_costs_adds_up() {
    let page = read("infra/DEPLOY.md");
    for column in 2..5 {
        let (mut part, mut all, mut together) = (0, 0, None);
        for row in rows(&page, "| | price |") {
            match row[0] {
                "**by use**" | "**standing**" => {
                    assert_eq!(cents(row[column]), part, "{}", row[0]);
                    all += part;
                    part = 0;
                }
                // In whole dollars.
                "**together**" => together = Some(cents(row[column])),
                _ => part += cents(row[column]),
            }
        }
        assert_eq!(together, Some((all + 50) / 100));
    }
}

#[test]
fn what_a_university_does_adds_up() {
    let page = read("infra/DEPLOY.md");
    let number = |cell: &str| {
        let last = cell.rsplit("= ").next().unwrap().trim_matches('*');
        last.replace(',', "")
            .replace('–', "0")
            .parse::<u64>()
            .unwrap()
    };
    let rows = rows(&page, "| | how often |");
    let (all, parts) = rows.split_last().unwrap();
    for column in 2..6 {
        let sum: u64 = parts.iter().map(|row| number(row[column])).sum();
        assert_eq!(number(all[column]), sum, "column {column}");
    }
}

/// The price that a cell ends with, without its point.
fn cents(cell: &str) -> i64 {
    let price = cell.rsplit("→ ").next().unwrap();
    price.trim_matches('*').replace('.', "").parse().unwrap()
}

/// Which events each listener is sent.
fn listeners(model: &Model) -> Vec<(BTreeSet<String>, String)> {
    let of = |queue: &str| {
        let mut functions = model.functions.iter();
        let reads = |it: &Trigger| matches!(it, Trigger::Sqs(source) if source.queue == queue);
        functions.find(|it| it.triggers.iter().any(reads)).unwrap()
    };
    let mut listeners = Vec::new();
    for rule in &model.rules {
        let kinds: BTreeSet<String> = match rule.pattern["detail-type"].as_array() {
            Some(kinds) => kinds.iter().map(|it| it.as_str().unwrap().into()).collect(),
            None => Payload::KINDS.iter().map(|it| (*it).to_owned()).collect(),
        };
        for target in &rule.targets {
            listeners.push((kinds.clone(), of(&target.queue).binary.clone()));
        }
    }
    listeners
}

/// An event as `lib/events` has pinned it.
fn on_the_wire(kind: &str) -> Value {
    let name = format!("bitflow_events__envelope__tests__{kind}.snap");
    let snapshot = read(&format!("lib/events/src/snapshots/{name}"));
    let (_, json) = snapshot.rsplit_once("\n---\n").unwrap();
    serde_json::from_str(json).unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap()
}

/// Every page below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        let ours = name == ".github" || !(name.starts_with('.') || name == "target");
        if ours && path.is_dir() {
            pages.extend(self::pages(&path));
        } else if path.extension().is_some_and(|it| it == "md") {
            pages.push(path);
        }
    }
    pages
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    let parts = page.split("\n```").step_by(2);
    // A block ends with its fence, which the next part begins with.
    parts.collect::<Vec<_>>().join("\n")
}

/// What stands in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows, cell by cell, of each table whose header begins so.
fn rows<'a>(page: &'a str, header: &str) -> Vec<Vec<&'a str>> {
    let (mut rows, mut inside) = (Vec::new(), false);
    for line in page.lines() {
        if line.starts_with(header) {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|---") {
            rows.push(line.trim_matches('|').split('|').map(str::trim).collect());
        }
    }
    rows
}
