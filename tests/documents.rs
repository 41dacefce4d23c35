//! What the documents say is what the code does: tables against the code, links and paths against
//! the folder, names of tests against the tests.
//!
//! A table that has drifted is shown as it should be, ready to paste.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use asset_gateway::api;
use asset_gateway::config::Settings;
use asset_gateway::telemetry::metrics;
use asset_gateway::types::error::ErrorCode;
use serde_json::Value;

/// Documents beside those in `docs`.
const AT_THE_ROOT: [&str; 4] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];

/// Words and phrases that readers stumble over, with what says the same.
const BANNED: [(&str, &str); 33] = [
    ("under way", "in flight, in progress"),
    ("answer", "response, respond"),
    ("answers", "responses, responds"),
    ("answered", "responded, got"),
    ("answering", "responding"),
    ("ask", "request, call"),
    ("asks", "requests, calls"),
    ("asked", "requested, called"),
    ("asking", "requesting, calling"),
    ("told", "logged, returned, reported"),
    ("anew", "again, reload, retry"),
    ("caller left", "client disconnected"),
    ("caller leaves", "client disconnects"),
    ("caller that left", "client that disconnected"),
    ("caller that leaves", "client that disconnects"),
    ("callers that left", "clients that disconnected"),
    ("callers that leave", "clients that disconnect"),
    ("caller has left", "client has disconnected"),
    ("leave away", "omit"),
    ("leaves away", "omits"),
    ("left away", "omitted"),
    ("leave it away", "omit it"),
    ("so long", "a named duration"),
    ("so much", "a named quantity"),
    ("so many", "a named quantity"),
    ("whoever", "the client, the operator"),
    ("kept", "stored, retained"),
    ("lies", "is"),
    ("stands", "is"),
    ("reckon", "compute"),
    ("reckons", "computes"),
    ("reckoned", "computed"),
    ("reckoning", "computing"),
];

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
    assert_table("docs/settings.md", "All settings", expected);
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
    assert_table("docs/metrics.md", "All metrics", expected);
}

#[test]
fn every_error_is_listed_with_its_status() {
    let listed = rows("docs/errors.md", "All codes")
        .into_iter()
        .flat_map(|row| {
            let (status, codes) = (row[0].clone(), row[1].clone());
            ticked(&codes)
                .into_iter()
                .map(move |code| (code, status.clone()))
                .collect::<Vec<_>>()
        });
    let expected = ErrorCode::ALL.iter().map(|code| {
        // No client is there any more; the access log has the number that nginx made known.
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
fn every_error_has_a_section() {
    let text = read("docs/errors.md");
    let sections: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    for row in rows("docs/errors.md", "All codes") {
        let code = ticked(&row[1]).concat();
        assert_eq!(
            row[1],
            format!("[`{code}`](#{code})"),
            "{code} should link to its section"
        );
    }
    let codes: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    assert_same(sections, codes);
}

#[test]
fn every_error_shows_a_problem_document() {
    let text = read("docs/errors.md");
    for row in rows("docs/errors.md", "All codes") {
        let code = ticked(&row[1]).concat();
        let section = text.split(&format!("\n### {code}\n")).nth(1).unwrap();
        let section = section.split("\n#").next().unwrap();
        let shown = section
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut statuses = Vec::new();
        for document in shown {
            assert_eq!(document["code"], code, "in the section {code}");
            let expected = format!("{}{code}", api::PROBLEM_TYPES);
            assert_eq!(document["type"], expected, "in the section {code}");
            let retryable = document["retryable"].as_bool().unwrap();
            let retry = if retryable { "yes" } else { "no" };
            assert!(
                row[3] == retry || row[3] == "`retryable`",
                "the example of {code} has {retry} as retryable, the table {}",
                row[3]
            );
            statuses.push(document["status"].to_string());
        }
        assert!(
            statuses.contains(&row[0]) || code == ErrorCode::CallerLeft.name(),
            "{code} has no example with the status {}",
            row[0]
        );
    }
}

#[test]
fn retries_of_adapters_are_those_of_the_errors() {
    let retries = |document, heading, column: usize| {
        rows(document, heading)
            .into_iter()
            .map(move |row| (ticked(&row[1]).concat(), row[column].clone()))
            .collect::<BTreeSet<_>>()
    };
    let mut described = retries("docs/errors.md", "All codes", 3);
    // No adapter gets a response to it.
    described.retain(|(code, _)| code != ErrorCode::CallerLeft.name());
    assert_same(retries("docs/adapters/retries.md", "By code", 2), described);
}

#[test]
fn errors_are_as_they_were_provoked() {
    let mut described = BTreeMap::new();
    for row in rows("docs/errors.md", "All codes") {
        let blames: Vec<String> = row[2].split(", ").map(str::to_owned).collect();
        described.insert(ticked(&row[1]).concat(), (blames, row[3].clone()));
    }
    let provoked = read("docs/faults.md");
    let rows = provoked
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(cells)
        .filter(|row| row.len() == 9 && row[3].starts_with('`'));
    for row in rows {
        let (code, blame, retryable) = (ticked(&row[3]).concat(), &row[4], &row[6]);
        let (blames, retry) = described
            .get(&code)
            .unwrap_or_else(|| panic!("docs/errors.md lacks {code}"));
        assert!(
            blames.contains(blame),
            "{code} was provoked with {blame} as who acts, docs/errors.md has {blames:?}"
        );
        assert!(
            retry == retryable || retry == "`retryable`",
            "{code} was provoked with {retryable} as retryable, docs/errors.md has {retry}"
        );
    }
}

#[test]
fn every_route_is_listed() {
    let listed = rows("docs/callers.md", "Routes")
        .into_iter()
        .flat_map(|row| {
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
        rows("docs/operations.md", "Admin listener")
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
    let listed = rows("docs/operations.md", "Commands")
        .into_iter()
        .flat_map(|row| ticked(&row[0]));
    assert_same(
        listed.filter_map(|call| call.split_whitespace().nth(1).map(str::to_owned)),
        names,
    );
}

#[test]
fn every_option_of_a_client_command_is_described() {
    let common = options_in(&lines("docs/commands.md", "Calling a gateway"));
    for (section, commands) in [
        ("put", &["put"][..]),
        ("get", &["get"]),
        ("url", &["url"]),
        ("rm", &["rm"]),
        ("limits", &["limits"]),
        (
            "accounts",
            &[
                "accounts list",
                "accounts show",
                "accounts create",
                "accounts update",
                "accounts delete",
                "channels list",
                "channels show",
            ],
        ),
        ("check", &["check"]),
    ] {
        let mut described = options_in(&lines("docs/commands.md", section));
        if section != "check" {
            described.extend(common.clone());
        }
        let known: BTreeSet<String> = commands.iter().flat_map(|line| options_of(line)).collect();
        assert_same(described, known);
    }
}

/// The long options that a command's own help lists.
fn options_of(command: &str) -> BTreeSet<String> {
    let mut program = assert_cmd::Command::cargo_bin("asset-gateway").unwrap();
    let help = program
        .args(command.split(' '))
        .arg("--help")
        .assert()
        .success();
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    let first_words = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-'));
    let options = first_words.filter_map(|line| {
        let words = line.split([' ', ',', '=']);
        words
            .into_iter()
            .find(|word| word.starts_with("--"))
            .map(str::to_owned)
    });
    options.filter(|option| option != "--help").collect()
}

/// The options in the first cells of a table's rows.
fn options_in(rows: &[String]) -> BTreeSet<String> {
    let first_cells = rows.iter().filter_map(|row| cells(row).into_iter().next());
    let words = first_cells.flat_map(|cell| ticked(&cell));
    words.filter(|word| word.starts_with("--")).collect()
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    for (table, heading) in [
        ("dependencies", "In the binary"),
        ("dev-dependencies", "In tests and benches"),
    ] {
        let listed = rows("docs/dependencies.md", heading)
            .into_iter()
            .map(|row| row[0].clone());
        assert_same(listed, manifest[table].as_table().unwrap().keys().cloned());
    }
}

#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        let text = read(&document);
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.starts_with("https://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() {
                document.clone()
            } else {
                beside(&document, path)
            };
            assert!(
                Path::new(&path).exists(),
                "{document} links to {path}, which doesn't exist"
            );
            let found = anchor.is_empty()
                || read(&path)
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
    let in_documents = documents().into_iter().flat_map(|document| {
        ticked(&read(&document))
            .into_iter()
            .map(move |code| (document.clone(), code))
    });
    let in_recipes = read("justfile")
        .lines()
        .filter(|line| line.starts_with(' '))
        .map(|line| ("justfile".to_owned(), line.to_owned()))
        .collect::<Vec<_>>();
    for (document, code) in in_documents.chain(in_recipes) {
        for path in code.split_whitespace().filter(|word| is_path(word)) {
            assert!(
                Path::new(path).exists(),
                "{document} names {path}, which doesn't exist"
            );
        }
    }
}

#[test]
fn the_readme_is_short_and_has_both_commands() {
    let readme = read("README.md");
    let length = readme.lines().count();
    assert!(length <= 180, "README.md has {length} lines: at most 180");
    for command in ["$ cargo run --release -- dev", "$ tests/all"] {
        assert!(
            readme.lines().any(|line| line == command),
            "README.md lacks the command {command}"
        );
    }
}

#[test]
fn documents_are_in_plain_english() {
    let found = documents()
        .into_iter()
        .flat_map(|document| banned(&document, &prose(&read(&document))));
    assert_plain(found);
}

#[test]
fn what_the_program_says_is_in_plain_english() {
    let settings =
        Settings::keys().flat_map(|key| banned(key.name, &format!("{} {}", key.default, key.doc)));
    let metrics = metrics::TABLE
        .iter()
        .flat_map(|row| banned(row.name, row.help));
    let sources = sources(Path::new("src"))
        .into_iter()
        .filter(|path| !is_test(path))
        .flat_map(|path| {
            let path = path.to_str().unwrap();
            banned(path, &sentences(&read(path)))
        });
    assert_plain(settings.chain(metrics).chain(sources));
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
    let documents = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/dependencies.md"];
    let named = documents.into_iter().flat_map(|document| {
        ticked(&read(document))
            .into_iter()
            .map(move |word| (document, word))
    });
    for (document, word) in named {
        let method = word
            .split_once("::")
            .filter(|(owner, _)| owner.starts_with(char::is_uppercase))
            .map(|(_, method)| method);
        let Some(name) = method.or(is_sentence(&word).then_some(&word)) else {
            continue;
        };
        assert!(
            code.contains(&format!("fn {name}(")),
            "{document} names {word}, which doesn't exist"
        );
    }
}

/// Every document, by its path from the root.
fn documents() -> Vec<String> {
    let folders = ["docs", "docs/adapters"];
    let mut documents: Vec<String> = folders
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.ends_with(".md"))
        .collect();
    documents.sort();
    documents.extend(AT_THE_ROOT.map(str::to_owned));
    documents
}

/// The path that a link of a document leads to, from the root.
fn beside(document: &str, link: &str) -> String {
    let mut path = PathBuf::from(document);
    path.pop();
    for part in link.split('/') {
        match part {
            ".." => assert!(path.pop(), "{document} links to {link}, above the root"),
            part => path.push(part),
        }
    }
    path.to_str().unwrap().to_owned()
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
    lines(document, heading)
        .iter()
        .map(|line| cells(line))
        .collect()
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|')
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
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

/// A document without code and without tables that are the code's, line by line. What a program
/// prints, and what a table of the code says, are held where they are written.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code && !is_row_of_code(line) {
            let plain = line.split('`').step_by(2);
            prose.extend(plain.flat_map(|part| [part, " "]));
        }
        prose.push('\n');
    }
    prose
}

/// A setting's row has its key first, and a metric's its name.
fn is_row_of_code(line: &str) -> bool {
    let Some((first, _)) = line
        .strip_prefix("| `")
        .and_then(|rest| rest.split_once('`'))
    else {
        return false;
    };
    Settings::keys().any(|key| key.name == first)
        || metrics::TABLE.iter().any(|row| row.name == first)
}

/// The string literals of a source file that are sentences, each on its own line of the file.
/// Literals of its tests aren't said to anybody.
fn sentences(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut found = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'', '/', '\n']) {
        let (skipped, tail) = rest.split_at(at);
        let raw = skipped.ends_with('r') || skipped.trim_end_matches('#').ends_with("r");
        let length = match tail.as_bytes()[0] {
            b'\n' => {
                found.push('\n');
                1
            }
            b'/' if tail.starts_with("//") => tail.find('\n').unwrap_or(tail.len()),
            // A character, or the tick of a lifetime.
            b'\'' if tail.starts_with("'\\") => 2 + tail[2..].find('\'').map_or(0, |end| end + 1),
            b'\'' => tail
                .char_indices()
                .nth(2)
                .filter(|(_, closing)| *closing == '\'')
                .map_or(1, |(end, _)| end + 1),
            b'"' => {
                let hashes = skipped.len() - skipped.trim_end_matches('#').len();
                let end = if raw {
                    let close = format!("\"{}", "#".repeat(hashes));
                    1 + tail[1..]
                        .find(&close)
                        .unwrap_or(tail.len() - 1 - close.len())
                        + close.len()
                } else {
                    end_of_literal(tail)
                };
                let literal = &tail[1..end - 1];
                if literal.contains(' ') {
                    found.push_str(&without_values(literal));
                    // A word of its own, so that no phrase spans two literals.
                    found.push_str(" -- ");
                } else {
                    found.extend(literal.matches('\n'));
                }
                end
            }
            _ => 1,
        };
        rest = &tail[length..];
    }
    found
}

/// A format string without what stands between braces, which names values.
fn without_values(literal: &str) -> String {
    let mut depth = 0;
    let is_text = |c: &char| {
        depth += i32::from(*c == '{');
        let is_text = depth == 0 || *c == '\n';
        depth -= i32::from(*c == '}');
        is_text
    };
    literal.chars().filter(is_text).collect()
}

/// Where a literal ends that begins with a quotation mark.
fn end_of_literal(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_test(path: &Path) -> bool {
    let is_named = |name: &str| matches!(name, "tests" | "tests.rs" | "fixtures.rs");
    path.iter().any(|part| is_named(part.to_str().unwrap()))
}

/// Where a text has banned words, as lines to print.
fn banned(place: &str, text: &str) -> Vec<String> {
    let words: Vec<(usize, String)> = text
        .lines()
        .enumerate()
        .flat_map(|(number, line)| {
            line.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '\''))
                .filter(|word| !word.is_empty())
                .map(move |word| (number + 1, word.to_lowercase()))
        })
        .collect();
    let mut found = Vec::new();
    for (phrase, better) in BANNED {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        let hits = words.windows(phrase.len()).filter(|window| {
            window
                .iter()
                .map(|(_, word)| word.as_str())
                .eq(phrase.iter().copied())
        });
        found.extend(hits.map(|window| {
            format!(
                "{place}:{}: \"{}\": {better}",
                window[0].0,
                phrase.join(" ")
            )
        }));
    }
    found
}

fn assert_plain(found: impl Iterator<Item = String>) {
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "say it plainly:\n{}", found.join("\n"));
}

fn is_path(word: &str) -> bool {
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let folder = [
        "src/",
        "tests/",
        "benches/",
        "deploy/",
        "docs/",
        "fuzz/",
        "examples/",
        ".cargo/",
        ".ci/",
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
