//! Imports only go down, and neighbours on one floor don't know each other.
//!
//! Walks `src/` and reads the segment after each `crate::`.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. Modules on one line are neighbours.
const FLOORS: [&[&str]; 11] = [
    &["words"],
    &["signals"],
    &["body", "media"],
    &["policy", "wire"],
    &["egain", "storage"],
    &["upload", "download"],
    &["front"],
    &["config"],
    &["app"],
    &["sandbox"],
    &["cli"],
];

/// What the stand-in may share with the house, lest it share its mistakes.
const SANDBOX_MAY_USE: [&str; 2] = ["words", "wire"];

#[test]
fn imports_only_go_down() {
    for (importer, imported, file) in imports() {
        let (here, there) = (floor(&importer), floor(&imported));
        assert!(there < here, "{}: {importer} (floor {here}) imports {imported} (floor {there})", file.display());
    }
}

#[test]
fn the_stand_in_shares_only_words_and_wire_with_the_house() {
    for (importer, imported, file) in imports() {
        let fine = importer != "sandbox" || SANDBOX_MAY_USE.contains(&imported.as_str());
        assert!(fine, "{}: sandbox imports {imported}", file.display());
    }
}

#[test]
fn only_the_settings_read_the_environment() {
    for file in files(Path::new("src")).into_iter().filter(|file| !file.starts_with("src/config")) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("env::var"), "{} reads the environment", file.display());
    }
}

/// Importer, imported and where.
fn imports() -> Vec<(String, String, PathBuf)> {
    let mut found = Vec::new();
    for file in files(Path::new("src")) {
        let importer = module(&file);
        if importer == "lib" || importer == "main" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for piece in text.split("crate::").skip(1) {
            let of = |imported: &str| (importer.clone(), imported.to_owned(), file.clone());
            found.extend(heads(piece).into_iter().filter(|imported| *imported != importer).map(of));
        }
    }
    assert!(found.len() > 100, "the walk found only {} imports: has the source moved?", found.len());
    found
}

/// `a` of `a::b`, and `a` and `c` of `{a, c::d}`.
fn heads(piece: &str) -> Vec<&str> {
    let word = |text: &'_ str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let list = piece.strip_prefix('{').map(|rest| rest.split('}').next().unwrap_or(rest));
    let paths = list.map_or_else(|| vec![piece], |list| list.split(',').map(str::trim).collect());
    paths.into_iter().map(|path| &path[..word(path)]).filter(|head| !head.is_empty()).collect()
}

fn floor(module: &str) -> usize {
    FLOORS.iter().position(|floor| floor.contains(&module)).unwrap_or_else(|| panic!("{module} is on no floor: give it one"))
}

/// `egain` of `src/egain/token.rs`, `app` of `src/app.rs`.
fn module(file: &Path) -> String {
    let within = file.strip_prefix("src").unwrap().components().next().unwrap();
    Path::new(within.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
