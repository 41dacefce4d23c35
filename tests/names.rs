//! Names and lines that a reader takes in at once: tests that say condition and outcome in a few
//! words, types whose name says what they are where another file uses them, lines that fit a
//! screen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

mod source_code;

use source_code::code_of;

/// Most words of a test's name.
const MOST_WORDS: usize = 9;

/// Most characters of a line, as rustfmt has it by default.
const MOST_COLUMNS: usize = 100;

/// Types of one word that another file may use, with the reason why one word says enough.
const ONE_WORD: [(&str, &[&str]); 6] = [
    ("MIME's word (RFC 2046)", &["Boundary"]),
    (
        "eGain's words",
        &["Account", "Asset", "Attribute", "Channel", "Plan", "Sender"],
    ),
    (LEXICON, &["Blame", "Framing", "Orphan", "Stage"]),
    (
        "security's words",
        &["Authenticator", "Permission", "Principal"],
    ),
    (
        "words that every service has",
        &["Error", "Settings", "Shutdown", "Transport"],
    ),
    (
        "words of the field where the folder says of what: a file's type, and what tests provoke",
        &["Detection", "Fault", "Sandbox"],
    ),
];

/// Folders with files of others.
const LEFT_OUT: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// The reason of the words that `ARCHITECTURE.md` explains.
const LEXICON: &str = "the lexicon's words";

#[test]
fn a_tests_name_has_at_most_nine_words() {
    let mut found = Vec::new();
    let mut count = 0;
    for (path, text) in sources(&["src", "tests"]) {
        for name in test_names(&text) {
            count += 1;
            if name.split('_').count() > MOST_WORDS {
                found.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(count > 500, "the tests were not found");
    assert_none(&found);
}

#[test]
fn tests_are_found_behind_their_attributes() {
    let text = "#[test]\nfn one() {}\n    #[tokio::test(start_paused = true)]\n    \
                #[ignore = \"slow\"]\n    // Why.\n    async fn two() {}\nfn helper() {}\n";
    assert_eq!(test_names(text), ["one", "two"]);
}

#[test]
fn a_type_that_crosses_files_has_two_words() {
    let allowed: BTreeSet<&str> = ONE_WORD
        .iter()
        .flat_map(|(_, words)| *words)
        .copied()
        .collect();
    let crossing = Sources::read().one_word_types_in_use();
    let listed: Vec<String> = crossing
        .iter()
        .filter(|(name, _)| !allowed.contains(name.as_str()))
        .map(|(name, users)| format!("{name}, used by {users:?}"))
        .collect();
    assert_none(&listed);
    let idle: Vec<_> = allowed
        .iter()
        .filter(|name| !crossing.contains_key(**name))
        .collect();
    assert!(idle.is_empty(), "no longer used by another file: {idle:?}");
}

#[test]
fn the_lexicon_explains_the_types_named_after_it() {
    let architecture = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let lexicon = architecture.split("## Lexicon").nth(1).unwrap();
    for (_, words) in ONE_WORD.iter().filter(|(reason, _)| *reason == LEXICON) {
        for word in *words {
            let row = format!("| {} |", word.to_lowercase());
            assert!(lexicon.contains(&row), "the lexicon lacks {word}");
        }
    }
}

#[test]
fn types_that_cross_files_are_found() {
    let declared =
        "pub(super) struct Ring;\npub enum Owned {}\nstruct Private;\npub struct TwoWords;";
    for (code, crossing) in [
        ("use super::ring::Ring;", 1),
        ("use crate::{ring::{Owned, Ring}, other};", 2),
        ("mod ring;\npub use ring::Ring;", 1),
        ("fn f() { crate::ring::Ring }", 1),
        ("use super::ring;\nfn f(ring: &ring::Ring) {}", 1),
        ("use super::ring::TwoWords;", 0),
        ("use std::ring::Ring;", 0),
        ("// use super::ring::Ring;\nstruct Ring;", 0),
        (
            "#[cfg(test)]\nmod tests {\n    use super::ring::Ring;\n}",
            0,
        ),
    ] {
        let sources = Sources::of(&[("src/ring.rs", declared), ("src/user.rs", code)]);
        assert_eq!(sources.one_word_types_in_use().len(), crossing, "{code}");
    }
}

#[test]
fn no_line_is_longer_than_a_hundred_columns() {
    let folders = ["src", "tests", "benches", "examples", "fuzz/targets"];
    let mut found = Vec::new();
    let scripts = files(&folders)
        .into_iter()
        .filter(|(_, text)| is_python(text));
    for (path, text) in sources(&folders).into_iter().chain(scripts) {
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > MOST_COLUMNS {
                found.push(format!("{path}:{}: {columns} columns", number + 1));
            }
        }
    }
    assert_none(&found);
}

/// The functions behind a `#[test]`, also that of another runtime.
fn test_names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if is_test && !line.starts_with("#[") && !line.starts_with("//") {
            let function = line.trim_start_matches("async ").strip_prefix("fn ");
            names.extend(function.and_then(|rest| rest.split(['(', '<']).next()));
            is_test = false;
        }
    }
    names
}

/// Code without comments and tests, by path.
struct Sources(BTreeMap<String, String>);

impl Sources {
    fn read() -> Self {
        let sources = sources(&["src"]);
        let is_tests = |path: &str| path.ends_with("/tests.rs");
        let code = sources.into_iter().filter(|(path, _)| !is_tests(path));
        Self(code.map(|(path, text)| (path, code_of(&text))).collect())
    }

    fn of(files: &[(&str, &str)]) -> Self {
        let code = |(path, text): &(&str, &str)| ((*path).to_owned(), code_of(text));
        Self(files.iter().map(code).collect())
    }

    /// Types whose name is one word and that other files use, with these files.
    fn one_word_types_in_use(&self) -> BTreeMap<String, Vec<String>> {
        let mut crossing = BTreeMap::<String, Vec<String>>::new();
        for (owner, code) in &self.0 {
            let one_word = |name: &&str| is_one_word(name);
            for name in declared_types(code).into_iter().filter(one_word) {
                let users = self.0.iter().filter(|(path, _)| *path != owner);
                let users = users.filter(|(_, user)| uses(user, module(owner), name));
                let users: Vec<String> = users.map(|(path, _)| path.clone()).collect();
                if !users.is_empty() {
                    crossing.entry(name.to_owned()).or_default().extend(users);
                }
            }
        }
        crossing
    }
}

/// The module that a file is: `src/egain/mod.rs` is `egain`.
fn module(path: &str) -> &str {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.rsplit('/').next().unwrap_or(path)
}

/// Types that a file offers to others, also those that a macro of ours declares.
fn declared_types(code: &str) -> Vec<&str> {
    let words = words(code);
    let of_items = words
        .windows(2)
        .filter(|pair| ["struct", "enum", "trait", "type"].contains(&pair[0]) && is_type(pair[1]));
    let mut types: Vec<&str> = of_items.map(|pair| pair[1]).collect();
    types.retain(|name| is_public(code, name));
    for marker in ["names! {", "words! {", "section! {"] {
        for inside in code.split(marker).skip(1) {
            types.extend(self::words(inside).into_iter().find(|word| is_type(word)));
        }
    }
    types
}

fn is_public(code: &str, name: &str) -> bool {
    code.lines().map(str::trim_start).any(|line| {
        let words = words(line);
        line.starts_with("pub")
            && words.windows(2).any(|pair| {
                ["struct", "enum", "trait", "type"].contains(&pair[0]) && pair[1] == name
            })
    })
}

/// Whether a file names a type of another module of ours: in a `use`, or by its path.
fn uses(code: &str, module: &str, name: &str) -> bool {
    let path = format!("{module}::{name}");
    let by_path = code.match_indices(&path).any(|(at, _)| {
        let ends = !code[at + path.len()..].starts_with(is_of_a_name);
        let before = code[..at].trim_end_matches(|c| is_of_a_name(c) || c == ':');
        ends && (before.len() == at || is_ours(&code[before.len()..], code))
    });
    by_path || imports(code).any(|tree| is_ours(tree, code) && words(tree).contains(&name))
}

/// The trees of a file's `use` items: `crate::types::{asset, error::Error}`.
fn imports(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("use ").filter_map(|(at, marker)| {
        let line = code[..at].rsplit('\n').next()?.trim_start();
        let is_item = line.is_empty() || line.starts_with("pub");
        let tree = code[at + marker.len()..].split(';').next()?;
        is_item.then_some(tree)
    })
}

/// Whether a path begins in this crate rather than in another one.
fn is_ours(path: &str, code: &str) -> bool {
    let root = words(path).first().copied().unwrap_or_default();
    ["crate", "super", "self", "asset_gateway"].contains(&root)
        || code.contains(&format!("mod {root};"))
}

fn words(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !is_of_a_name(c));
    words.filter(|word| !word.is_empty()).collect()
}

fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_type(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
}

fn is_one_word(name: &str) -> bool {
    let capitals = name.chars().filter(char::is_ascii_uppercase).count();
    capitals == 1 || capitals == name.len()
}

/// The Rust files of these folders, by path.
fn sources(folders: &[&str]) -> BTreeMap<String, String> {
    let mut files = files(folders);
    files.retain(|path, _| path.ends_with(".rs"));
    files
}

/// Programs in Python begin with the interpreter, modules with what they are for.
fn is_python(text: &str) -> bool {
    text.starts_with("#!/usr/bin/env python3") || text.starts_with("\"\"\"")
}

/// The text files of these folders, by path, without what builds and installations leave there.
fn files(folders: &[&str]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut open: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() && !LEFT_OUT.iter().any(|folder| path.ends_with(folder)) {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            files.insert(path.to_str().unwrap().to_owned(), text);
        }
    }
    files
}

fn assert_none(found: &[String]) {
    assert!(
        found.is_empty(),
        "{} found:\n{}",
        found.len(),
        found.join("\n")
    );
}
