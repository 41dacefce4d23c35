//! The house's plan: imports only go down, and neighbours on one floor don't know each other.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module's floor, the ground first.
const FLOORS: [(&str, u32); 18] = [
    ("words", 0),
    ("media", 0),
    ("signals", 1),
    ("body", 2),
    ("policy", 3),
    ("wire", 3),
    ("egain", 4),
    ("storage", 4),
    ("upload", 5),
    ("download", 5),
    ("accounts", 5),
    ("front", 6),
    ("config", 7),
    ("app", 8),
    ("sandbox", 9),
    ("cli", 10),
    ("lib", 11),
    ("main", 11),
];

/// What stands beside the house may use no more than this of it: it would share its mistakes and
/// prove nothing.
const FOR_THE_SANDBOX: [&str; 3] = ["words", "wire", "signals"];

#[test]
fn imports_only_go_down() {
    let files = sources(Path::new("src"));
    assert!(files.len() > 50, "the sources weren't found");
    let found: Vec<String> = files
        .iter()
        .flat_map(|path| violations(&module(path), &fs::read_to_string(path).unwrap()))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    for path in sources(Path::new("src")) {
        assert!(
            floor(&module(&path)).is_some(),
            "{} stands on no floor",
            path.display()
        );
    }
}

#[test]
fn an_import_that_goes_up_or_to_a_neighbour_is_seen() {
    for (module, import) in [
        ("egain", "use crate::front::Front;"),
        ("egain", "use crate::storage::Storage;"),
        ("words", "use crate::media::sniff;"),
        ("front", "use crate::{download, config};"),
        ("body", "    fn f() { crate::app::bind() }"),
        ("sandbox", "use crate::egain::Egain;"),
        ("signals", "use crate::nowhere::Thing;"),
    ] {
        assert_eq!(violations(module, import).len(), 1, "{module}: {import}");
    }
}

#[test]
fn an_import_that_goes_down_or_stays_inside_is_fine_and_tests_may_do_as_they_like() {
    for (module, source) in [
        ("media", "use crate::words::fault::Fault;"),
        ("front", "use crate::{download, egain, words::fault};"),
        ("egain", "use crate::egain::token::Tokens;"),
        ("egain", "//! See [`crate::front`]."),
        (
            "egain",
            "#[cfg(test)]\nmod tests {\n    use crate::front::Front;\n}",
        ),
    ] {
        assert_eq!(
            violations(module, source),
            Vec::<String>::new(),
            "{module}: {source}"
        );
    }
}

fn floor(module: &str) -> Option<u32> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

fn may_use(module: &str, used: &str) -> bool {
    match (module, used) {
        _ if module == used => true,
        ("media", "words") => true,
        ("sandbox", _) => FOR_THE_SANDBOX.contains(&used),
        _ => floor(used).is_some_and(|below| floor(module).is_some_and(|floor| below < floor)),
    }
}

fn violations(module: &str, source: &str) -> Vec<String> {
    let code = source
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let used = lines
        .flat_map(|line| line.split("crate::").skip(1))
        .flat_map(first_segments);
    used.filter(|used| !may_use(module, used))
        .map(|used| format!("{module} must not use {used}"))
        .collect()
}

/// `a` of `a::b::c`, and `a`, `d` of `{a::{b, c}, d}` where that stands in one line, as rustfmt
/// writes it.
fn first_segments(path: &str) -> Vec<String> {
    let name = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut depth, mut found) = (0, vec![name(group)]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.push(name(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    found
}

/// `egain` for `src/egain/token.rs`, `policy` for `src/policy.rs`.
fn module(path: &Path) -> String {
    let first = path
        .components()
        .nth(1)
        .expect("the path begins with src")
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Without the files that hold tests only.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let inner = folders.iter().flat_map(|folder| sources(folder));
    let code =
        |path: &PathBuf| path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs");
    files.into_iter().filter(code).chain(inner).collect()
}
