//! What the documents say is what the code does: tables against the code, links and paths against
//! the folder, names of tests against the tests.
//!
//! A table that has drifted is shown as it should be, ready to paste.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use asset_gateway::api;
use asset_gateway::config::Settings;
use asset_gateway::telemetry::metrics;
use asset_gateway::types::error::ErrorCode;

const DOCUMENTS: [&str; 2] = ["README.md", "ARCHITECTURE.md"];

#[test]
fn the_settings_table_is_the_one_in_the_code() {
    let expected = Settings::keys().map(|key| {
        let default = match key.default {
            "" => "none".to_owned(),
            value if key.preset => format!("`{value}`"),
            phrase => phrase.to_owned(),
        };
        format!("| `{}` | {default} | {} |", key.name, key.doc)
    });
    assert_table("README.md", "Settings", expected);
}

#[test]
fn the_metrics_table_is_the_one_in_the_code() {
    let expected = metrics::TABLE.iter().map(|row| {
        let labels: Vec<String> = row
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        format!(
            "| `{}` | {} | {} |",
            row.name,
            labels.join(", "),
            row.help.trim()
        )
    });
    assert_table("README.md", "Metrics", expected);
}

#[test]
fn every_error_is_listed_with_its_status() {
    let listed = rows("README.md", "Errors").into_iter().flat_map(|row| {
        let (status, codes) = (row[0].clone(), row[1].clone());
        ticked(&codes)
            .into_iter()
            .map(move |code| (code, status.clone()))
            .collect::<Vec<_>>()
    });
    let expected = ErrorCode::ALL.iter().map(|code| {
        // Nobody is there to be answered; the access log has the number that nginx made known.
        let status = if *code == ErrorCode::CallerLeft {
            499
        } else {
            api::status(*code).as_u16()
        };
        (code.name().to_owned(), status.to_string())
    });
    assert_same(listed, expected);
}

#[test]
fn every_route_is_listed() {
    let listed = rows("README.md", "Routes").into_iter().flat_map(|row| {
        let path = ticked(&row[1]).concat();
        ticked(&row[0])
            .into_iter()
            .map(move |method| (path.clone(), method))
            .collect::<Vec<_>>()
    });
    let expected = api::routes().flat_map(|(template, methods)| {
        methods
            .split(", ")
            .map(|method| (template.to_owned(), method.to_owned()))
            .collect::<Vec<_>>()
    });
    assert_same(listed, expected);
}

#[test]
fn every_route_of_the_admin_listener_is_listed() {
    let source = read("src/api/admin.rs");
    let arms = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"/")?.split_once("\" =>"));
    assert_same(
        rows("README.md", "Admin listener")
            .iter()
            .flat_map(|row| ticked(&row[0])),
        arms.map(|(path, _)| format!("/{path}")),
    );
}

#[test]
fn every_command_is_listed() {
    let help = assert_cmd::Command::cargo_bin("asset-gateway")
        .unwrap()
        .arg("--help")
        .assert()
        .success();
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names = commands
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned);
    let listed = rows("README.md", "Commands")
        .into_iter()
        .flat_map(|row| ticked(&row[0]));
    assert_same(
        listed.filter_map(|call| call.split_whitespace().nth(1).map(str::to_owned)),
        names,
    );
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    for (table, heading) in [
        ("dependencies", "In the binary"),
        ("dev-dependencies", "In tests and benches"),
    ] {
        let listed = rows("ARCHITECTURE.md", heading)
            .into_iter()
            .map(|row| row[0].clone());
        assert_same(listed, manifest[table].as_table().unwrap().keys().cloned());
    }
}

#[test]
fn every_link_leads_somewhere() {
    for document in DOCUMENTS {
        let text = read(document);
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.starts_with("https://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { document } else { path };
            assert!(
                Path::new(path).exists(),
                "{document} links to {path}, which doesn't exist"
            );
            let found = anchor.is_empty()
                || read(path)
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| slug(line) == anchor);
            assert!(
                found,
                "{document} links to #{anchor}, which {path} doesn't have"
            );
        }
    }
}

#[test]
fn every_path_that_is_named_exists() {
    for document in DOCUMENTS {
        for path in ticked(&read(document))
            .into_iter()
            .filter(|word| is_path(word))
        {
            assert!(
                Path::new(&path).exists(),
                "{document} names {path}, which doesn't exist"
            );
        }
    }
}

#[test]
fn every_test_and_method_that_is_named_exists() {
    let sources: Vec<PathBuf> = ["src", "tests"]
        .into_iter()
        .flat_map(|folder| sources(Path::new(folder)))
        .collect();
    let code: String = sources
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for word in ticked(&read("ARCHITECTURE.md")) {
        let method = word
            .split_once("::")
            .filter(|(owner, _)| owner.starts_with(char::is_uppercase))
            .map(|(_, method)| method);
        let Some(name) = method.or(is_sentence(&word).then_some(&word)) else {
            continue;
        };
        assert!(
            code.contains(&format!("fn {name}(")),
            "ARCHITECTURE.md names {word}, which doesn't exist"
        );
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of the table under a heading, up to the next heading.
fn lines(document: &str, heading: &str) -> Vec<String> {
    let text = read(document);
    let is_heading = |line: &&str| line.starts_with('#');
    let mut rest = text
        .lines()
        .skip_while(|line| !is_heading(line) || line.trim_start_matches('#').trim() != heading);
    assert!(rest.next().is_some(), "{document} has no heading {heading}");
    let table = rest
        .take_while(|line| !is_heading(line))
        .filter(|line| line.starts_with('|'));
    table.skip(2).map(str::to_owned).collect()
}

fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let cells = |line: &String| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    lines(document, heading).iter().map(cells).collect()
}

/// What stands between backticks on one line.
fn ticked(text: &str) -> Vec<String> {
    let of = |line: &str| {
        line.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    text.lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(of)
        .collect()
}

fn is_path(word: &str) -> bool {
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let folder = [
        "src/", "tests/", "benches/", "deploy/", "docs/", "fuzz/", ".github/",
    ]
    .iter()
    .any(|folder| word.starts_with(folder));
    plain
        && (folder
            || [".rs", ".md", "Cargo.toml"]
                .iter()
                .any(|end| word.ends_with(end)))
}

/// Tests are named as sentences.
fn is_sentence(word: &str) -> bool {
    word.matches('_').count() >= 3
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A heading's anchor, as forges make it.
fn slug(heading: &str) -> String {
    let text = heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .replace(' ', "-");
    text.chars()
        .filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_')
        .collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

/// The table as it is, line by line.
fn assert_table(document: &str, heading: &str, expected: impl Iterator<Item = String>) {
    let (found, expected) = (lines(document, heading), expected.collect::<Vec<_>>());
    assert!(
        found == expected,
        "the table under {heading} in {document} should be:\n{}",
        expected.join("\n")
    );
}

/// The same entries, in any order, none twice.
fn assert_same<T: Ord + Debug>(
    listed: impl IntoIterator<Item = T>,
    expected: impl IntoIterator<Item = T>,
) {
    let listed: Vec<T> = listed.into_iter().collect();
    let count = listed.len();
    let (listed, expected) = (BTreeSet::from_iter(listed), BTreeSet::from_iter(expected));
    assert_eq!(listed.len(), count, "something is listed twice: {listed:?}");
    let (missing, extra) = (
        expected.difference(&listed).collect::<Vec<_>>(),
        listed.difference(&expected).collect::<Vec<_>>(),
    );
    assert!(
        missing.is_empty() && extra.is_empty(),
        "not listed: {missing:?}; listed, but not there: {extra:?}"
    );
}
