//! Imports only go down: from layer to layer, and inside a folder from a parent to its children.
//!
//! Three rules. A module imports only from layers below its own. No two modules, and no longer
//! chain of them, import each other in a circle. A child imports nothing that its parent's file
//! defines: what several files share has a file of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

mod source_code;

use source_code::code_of;

/// Each module's layer, the lowest first.
const LAYERS: [(&str, u32); 20] = [
    ("types", 0),
    ("media", 0),
    ("telemetry", 1),
    ("lifecycle", 1),
    ("body", 2),
    ("policy", 3),
    ("net", 3),
    ("shared_store", 3),
    ("egain", 4),
    ("storage", 4),
    ("upload", 5),
    ("download", 5),
    ("accounts", 5),
    ("api", 6),
    ("config", 7),
    ("app", 8),
    ("sandbox", 9),
    ("cli", 10),
    ("lib", 11),
    ("main", 11),
];

/// The stand-in for eGain uses no more of the gateway than this: it would share its mistakes and
/// prove nothing.
const ALLOWED_IN_SANDBOX: [&str; 4] = ["types", "net", "telemetry", "lifecycle"];

/// One import: which module, by its path below `src`, and what it imports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    from: String,
    path: Vec<String>,
}

#[test]
fn imports_only_go_down() {
    let sources = Sources::read(Path::new("src"));
    assert!(sources.files.len() > 50, "the sources were not found");
    let violations = sources
        .imports()
        .iter()
        .filter_map(layer_violation)
        .collect::<BTreeSet<_>>();
    assert_none(&violations);
}

#[test]
fn every_module_has_a_layer() {
    for module in Sources::read(Path::new("src")).files.keys() {
        assert!(layer(top(module)).is_some(), "src/{module} is in no layer");
    }
}

/// `egain.rs` beside `egain/`, so that no two files have the same name.
#[test]
fn no_module_is_in_a_mod_rs() {
    let files = rust_files(Path::new("src"));
    assert!(!files.iter().any(|path| path.ends_with("mod.rs")));
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    assert_none(&Sources::read(Path::new("src")).circles());
}

#[test]
fn no_child_imports_what_its_parent_defines() {
    assert_none(&Sources::read(Path::new("src")).climbs());
}

#[test]
fn an_import_that_goes_up_is_found() {
    for (module, code) in [
        ("egain", "use crate::api::ApiService;"),
        ("egain", "use crate::storage::StorageClient;"),
        ("types", "use crate::media::sniff;"),
        ("api", "use crate::{\n    download,\n    config,\n};"),
        ("body", "fn f() { crate::app::bind() }"),
        ("sandbox", "use crate::egain::EgainClient;"),
        ("telemetry", "use crate::nowhere::Thing;"),
        ("telemetry", "use crate::lifecycle::shutdown;"),
    ] {
        let sources = Sources::of(&[(module, code)]);
        let found = sources.imports().iter().filter_map(layer_violation).count();
        assert_eq!(found, 1, "{module}: {code}");
    }
}

#[test]
fn an_import_that_goes_down_is_fine() {
    for (module, code) in [
        ("media", "use crate::types::error::Error;"),
        ("api", "use crate::{download, egain, types::error};"),
        ("egain", "use crate::egain::token::Tokens;"),
        ("egain", "//! See [`crate::api`]."),
        (
            "egain",
            "#[cfg(test)]\nmod tests {\n    use crate::api::ApiService;\n}",
        ),
    ] {
        let sources = Sources::of(&[(module, code)]);
        let found: Vec<_> = sources
            .imports()
            .iter()
            .filter_map(layer_violation)
            .collect();
        assert_eq!(found, Vec::<String>::new(), "{module}: {code}");
    }
}

#[test]
fn a_circle_is_found_and_a_chain_isnt() {
    let circle = [
        ("egain/a", "use super::b::B;"),
        ("egain/b", "use super::c::{C, D};"),
        ("egain/c", "use crate::egain::a::A;"),
    ];
    assert_eq!(Sources::of(&circle).circles().len(), 1);
    assert!(Sources::of(&circle[..2]).circles().is_empty());
}

#[test]
fn a_climb_to_the_parent_is_found() {
    let parent = (
        "egain",
        "pub mod child;\npub use child::Given;\nfn help() {}\nstruct Own;",
    );
    for (code, climbs) in [
        ("use super::help;", 1),
        ("use crate::egain::Own;", 1),
        ("use super::{sibling::Thing, help};", 1),
        ("use super::sibling::Thing;", 0),
        ("use super::Given;", 0),
    ] {
        let sources = Sources::of(&[parent, ("egain/child", code)]);
        assert_eq!(sources.climbs().len(), climbs, "{code}");
    }
}

/// Code without comments and tests, by module path: `egain/token`.
struct Sources {
    files: BTreeMap<String, String>,
}

impl Sources {
    fn read(root: &Path) -> Self {
        let files = rust_files(root).into_iter().map(|path| {
            let module = path
                .strip_prefix(root)
                .expect("it is inside")
                .with_extension("");
            let module = module.to_string_lossy().trim_end_matches("/mod").to_owned();
            (
                module,
                code_of(&fs::read_to_string(&path).expect("it can be read")),
            )
        });
        Self {
            files: files.collect(),
        }
    }

    fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter();
        Self {
            files: files
                .map(|(module, code)| ((*module).to_owned(), code_of(code)))
                .collect(),
        }
    }

    fn imports(&self) -> Vec<Import> {
        let of_file = |(module, code): (&String, &String)| {
            let paths = paths_in(code, module);
            let import = |path| Import {
                from: module.clone(),
                path,
            };
            paths.into_iter().map(import).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(of_file).collect()
    }

    /// The module that a path leads into: the longest prefix that is a file.
    fn module_of(&self, path: &[String]) -> Option<String> {
        (1..=path.len())
            .rev()
            .map(|n| path[..n].join("/"))
            .find(|m| self.files.contains_key(m))
    }

    /// Every import of another file's definitions, the one that declares the other as its child
    /// left out: a parent may use its children.
    fn edges(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut edges = BTreeMap::<String, BTreeSet<String>>::new();
        for import in self.imports() {
            if let Some(to) = self.module_of(&import.path)
                && to != import.from
            {
                edges.entry(import.from).or_default().insert(to);
            }
        }
        edges
    }

    fn circles(&self) -> BTreeSet<String> {
        let edges = self.edges();
        let mut circles = BTreeSet::new();
        for start in edges.keys() {
            let reached = reachable(&edges, start);
            if reached.contains(start) {
                let members = reached
                    .iter()
                    .filter(|m| reachable(&edges, m).contains(start));
                circles.insert(members.cloned().collect::<Vec<_>>().join(" <-> "));
            }
        }
        circles
    }

    fn climbs(&self) -> BTreeSet<String> {
        let mut climbs = BTreeSet::new();
        for import in self.imports() {
            let Some(to) = self.module_of(&import.path) else {
                continue;
            };
            let item = import.path.get(to.split('/').count());
            if import.from.starts_with(&format!("{to}/"))
                && item.is_some_and(|item| defines(&self.files[&to], item))
            {
                climbs.insert(format!(
                    "{} imports {}",
                    import.from,
                    import.path.join("::")
                ));
            }
        }
        climbs
    }
}

fn reachable(edges: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start.to_owned()];
    while let Some(module) = open.pop() {
        for next in edges.get(&module).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

/// Whether a file defines an item of this name itself; a `pub use` doesn't count.
fn defines(code: &str, item: &str) -> bool {
    let words: Vec<&str> = code
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    words.windows(2).any(|pair| {
        let kinds = [
            "struct",
            "enum",
            "trait",
            "type",
            "fn",
            "const",
            "static",
            "macro_rules",
        ];
        kinds.contains(&pair[0]) && pair[1] == item
    })
}

fn layer(module: &str) -> Option<u32> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

fn top(module: &str) -> &str {
    module.split('/').next().unwrap_or(module)
}

fn layer_violation(import: &Import) -> Option<String> {
    let (module, used) = (top(&import.from), import.path[0].as_str());
    let fine = match (module, used) {
        _ if module == used => true,
        ("media", "types") => true,
        ("sandbox", _) => ALLOWED_IN_SANDBOX.contains(&used),
        _ => layer(used).is_some_and(|below| layer(module).is_some_and(|own| below < own)),
    };
    (!fine).then(|| format!("{} must not use {used}", import.from))
}

/// Every path of this crate that the code names, from its root: `use` trees spread out.
fn paths_in(code: &str, module: &str) -> Vec<Vec<String>> {
    let own: Vec<String> = module.split('/').map(str::to_owned).collect();
    let parent = own[..own.len() - 1].to_vec();
    let mut paths = Vec::new();
    for (marker, base) in [("crate::", Vec::new()), ("super::", parent)] {
        for (at, _) in code.match_indices(marker) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut rest = &code[at + marker.len()..];
            spread(&mut rest, base.clone(), &mut paths);
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

/// Reads one tree (`a::{b, c::D}`) off the front of `rest`.
fn spread(rest: &mut &str, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    loop {
        *rest = rest.trim_start();
        if let Some(inside) = rest.strip_prefix('{') {
            *rest = inside;
            loop {
                *rest = rest.trim_start().trim_start_matches(',').trim_start();
                if rest.is_empty() || rest.starts_with('}') {
                    *rest = rest.get(1..).unwrap_or_default();
                    return;
                }
                let before = rest.len();
                spread(rest, path.clone(), paths);
                if rest.len() == before {
                    return;
                }
            }
        }
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        match &rest[..end] {
            "super" => {
                path.pop();
            }
            "" | "self" => {}
            name => path.push(name.to_owned()),
        }
        *rest = &rest[end..];
        if let Some(further) = rest.strip_prefix("::") {
            *rest = further;
            continue;
        }
        // `as name` renames only here.
        if let Some(renamed) = rest.trim_start().strip_prefix("as ") {
            let end = renamed.find(|c: char| !c.is_alphanumeric() && c != '_');
            *rest = &renamed[end.unwrap_or(renamed.len())..];
        }
        paths.push(path);
        return;
    }
}

/// Without the files that hold tests only.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let inner = folders.iter().flat_map(|folder| rust_files(folder));
    let code = |path: &PathBuf| path.extension().is_some_and(|e| e == "rs");
    let kept = files
        .into_iter()
        .filter(code)
        .filter(|path| !path.ends_with("tests.rs"));
    kept.chain(inner).collect()
}

fn assert_none(found: &BTreeSet<String>) {
    let lines: Vec<&str> = found.iter().map(String::as_str).collect();
    assert!(
        found.is_empty(),
        "{} found:\n{}",
        found.len(),
        lines.join("\n")
    );
}
