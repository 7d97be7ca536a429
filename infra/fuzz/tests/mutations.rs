//! Every target over its seeds and a fixed number of mutations of them, the same in every run: what
//! of fuzzing needs neither nightly nor time.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;

use bitflow_fuzz::{TARGETS, Target, seeds};

/// What the mutations are drawn from.
const SEED: u64 = 7;

/// Mutations of each target: fewer where a picture is decoded, or whole functions answer.
fn mutations(target: &str) -> usize {
    match target {
        "picture" | "portal_signature" | "stripe_webhook" => 300,
        "broadcasting" | "gateway_event" => 600,
        _ => 3000,
    }
}

/// Numbers as if drawn, the same in every run (splitmix64).
struct Draw(u64);

impl Draw {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).expect("a length");
        usize::try_from(self.number() % end).expect("below a length")
    }

    fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }
}

/// What parsers stumble over.
const TOKENS: [&[u8]; 16] = [
    b"\n",
    b"\0",
    b"\"",
    b"\\u0000",
    b"{",
    b"[",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"t=",
    b"v1=",
    b",",
    b"\xFF\xD9",
    b"\xC3\x28",
    b"%00",
];

fn mutate(draw: &mut Draw, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=draw.below(4) {
        let at = draw.below(data.len() + 1);
        match draw.below(7) {
            0 => data.truncate(at),
            1 => data.insert(at, draw.byte()),
            2 => drop(data.splice(at..at, TOKENS[draw.below(TOKENS.len())].iter().copied())),
            3 => data.truncate(at.max(data.len() / 2)),
            4 => {
                let tail = &other[draw.below(other.len() + 1)..];
                data.truncate(at);
                data.extend_from_slice(tail);
            }
            5 => {
                let end = (at + draw.below(16)).min(data.len());
                data.drain(at..end);
            }
            _ => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << draw.below(8);
                }
            }
        }
    }
    data
}

thread_local! {
    /// Panics on this thread, those included that a function catches and answers as its own fault.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

fn drive(target: &str, run: Target) {
    let check = |number: usize, data: &[u8]| {
        let outcome = std::panic::catch_unwind(|| run(data));
        let panics = PANICS.get();
        if outcome.is_err() || panics > 0 {
            let data = data.escape_ascii();
            panic!("{target}, seed {SEED}, case {number}, {panics} panics, with b\"{data}\"");
        }
    };
    let seeds = seeds::of(target);
    for (number, seed) in seeds.iter().enumerate() {
        check(number, seed);
    }
    let mut draw = Draw(SEED);
    for number in 0..mutations(target) {
        let (seed, other) = (draw.below(seeds.len()), draw.below(seeds.len()));
        let data = mutate(&mut draw, &seeds[seed], &seeds[other]);
        check(seeds.len() + number, &data);
    }
}

#[test]
fn whatever_the_bytes() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.set(PANICS.get() + 1);
        usual(panic);
    }));
    std::thread::scope(|scope| {
        for (target, run) in TARGETS {
            let name = std::thread::Builder::new().name(target.to_owned());
            let driven = name.spawn_scoped(scope, move || drive(target, run));
            driven.expect("a thread");
        }
    });
}

/// cargo-fuzz runs every target as well.
#[test]
fn every_target_has_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
    let files = std::fs::read_dir(folder.join("fuzz_targets")).expect("a folder");
    let files = files.map(|it| {
        it.expect("a file")
            .file_name()
            .into_string()
            .expect("a name")
    });
    let files: BTreeSet<String> = files.collect();
    let expected = TARGETS.iter().map(|(target, _)| format!("{target}.rs"));
    assert_eq!(files, expected.collect());
    for (target, _) in TARGETS {
        let named = format!("name = \"{target}\"");
        assert!(manifest.contains(&named), "{target}");
    }
}
