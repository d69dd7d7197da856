//! Who may import whom, checked against the source.
//!
//! The table is the map of `ARCHITECTURE.md` in a form that can fail. Imports point inwards: rules
//! know nothing of ours, adapters know rules, one place joins adapters. Unit tests are left out:
//! they may reach for what they need.

#![cfg(test)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, UseTree,
    visit::{self, Visit},
};

/// What a module may name, besides itself. The longest entry that fits a file decides.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &[]),
    ("config", &["domain"]),
    ("observability", &["config"]),
    ("audio", &[]),
    ("json", &[]),
    ("websocket", &[]),
    ("store", &["domain"]),
    ("telephony", &["domain", "json"]),
    ("agents", &["domain", "audio", "json", "websocket"]),
    ("import", &["domain"]),
    ("web", &["domain"]),
    (
        "bridge",
        &["domain", "agents", "audio", "telephony::media", "websocket"],
    ),
    ("engine", &["domain", "clock", "store", "telephony"]),
    ("engine::decide", &["domain"]),
    ("realtime", &["domain", "clock", "engine", "store"]),
    (
        "api",
        &[
            "domain",
            "clock",
            "engine",
            "store",
            "agents::report",
            "agents::sound",
            "bridge",
            "import",
            "realtime",
            "telephony::media",
            "telephony::twilio::CallbackUrls",
            "telephony::twilio::signature",
            "telephony::twilio::stream",
            "telephony::twilio::twiml",
            "telephony::twilio::webhook",
            "web",
            "websocket",
        ],
    ),
    (
        "app",
        &[
            "agents",
            "api",
            "bridge",
            "clock",
            "config",
            "domain",
            "engine",
            "import",
            "realtime",
            "store",
            "telephony",
            "web",
        ],
    ),
    ("sim", &["clock", "telephony::twilio::signature"]),
    (
        "sim::world",
        &["clock", "domain", "engine", "store", "telephony"],
    ),
    (
        "cli::bench",
        &["agents", "api::media", "app", "bridge", "json", "websocket"],
    ),
    (
        "cli",
        &[
            "api",
            "app",
            "clock",
            "config",
            "domain",
            "engine",
            "import",
            "observability",
            "sim",
        ],
    ),
];

/// What nobody but the composition root may name, though its parent is open to more.
const ONLY_APP: &[&str] = &[
    "store::memory",
    "store::sqlite",
    "store::mongo",
    "agents::elevenlabs",
    "agents::vapi",
    "telephony::twilio::TwilioCarrier",
];

/// The foreign crates that rules may use: values and arithmetic, nothing that reaches outside.
const DOMAIN_CRATES: &[&str] = &["std", "jiff", "uuid", "thiserror", "rlibphonenumber"];

#[test]
fn imports_point_inwards() {
    let mut wrong = Vec::new();
    for file in source_files() {
        let module = module_of(&file);
        for path in imports_of(&file, &module).ours {
            if !is_allowed(&module, &path) {
                wrong.push(format!(
                    "{}: {module} must not name crate::{path}",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_module_is_in_the_table() {
    let known: BTreeSet<&str> = MAY_IMPORT.iter().map(|(module, _)| *module).collect();
    for file in source_files() {
        let module = module_of(&file);
        let top = module.split("::").next().unwrap_or_default();
        assert!(
            matches!(top, "" | "main") || known.contains(top),
            "{top} is not in the table"
        );
    }
}

#[test]
fn rules_reach_nothing_outside() {
    for file in source_files() {
        let module = module_of(&file);
        let allowed = match module.as_str() {
            m if is_within(m, "domain") => DOMAIN_CRATES,
            m if is_within(m, "engine::decide") => &["std"],
            _ => continue,
        };
        let foreign = imports_of(&file, &module).foreign;
        let wrong: Vec<_> = foreign
            .iter()
            .filter(|name| !allowed.contains(&name.as_str()))
            .collect();
        assert!(
            wrong.is_empty(),
            "{}: rules must not use {wrong:?}",
            file.display()
        );
        let is_async = fs::read_to_string(&file).unwrap().contains("async fn");
        assert!(!is_async, "{}: rules are not async", file.display());
    }
}

#[test]
fn the_check_itself_can_fail() {
    assert!(!is_allowed("domain::retry", "clock::Clock"));
    assert!(!is_allowed("engine::decide::told", "store::Store"));
    assert!(!is_allowed(
        "engine::perform",
        "telephony::twilio::TwilioCarrier"
    ));
    assert!(!is_allowed("api::calls", "sim::Simulator"));
    assert!(!is_allowed("sim::twilio", "domain::ids"));
    assert!(!is_allowed(
        "sim::world::node",
        "store::memory::MemoryStore"
    ));
    assert!(!is_allowed("bridge::call", "telephony::twilio::stream"));
    assert!(is_allowed("bridge::call", "telephony::media::FromCaller"));
    assert!(is_allowed("app", "store::sqlite::SqliteStore"));
}

fn is_allowed(module: &str, path: &str) -> bool {
    let top = module.split("::").next().unwrap_or_default();
    if matches!(top, "" | "main") {
        return true;
    }
    let (owner, allowed) = MAY_IMPORT
        .iter()
        .filter(|(entry, _)| is_within(module, entry))
        .max_by_key(|(entry, _)| entry.len())
        .expect("every module is in the table");
    if is_within(path, owner) {
        return true;
    }
    let is_reserved = ONLY_APP.iter().any(|reserved| is_within(path, reserved));
    // Vendors' own directories may name themselves by their full path.
    let names_itself = ONLY_APP
        .iter()
        .any(|it| is_within(module, it) && is_within(path, it));
    (!is_reserved || top == "app" || names_itself || top == path.split("::").next().unwrap())
        && allowed.iter().any(|entry| is_within(path, entry))
}

/// Whether `path` is `outer` or something in it.
fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn source_files() -> Vec<PathBuf> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|it| it == "rs") && !is_test_file(&path) {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    files.sort();
    assert!(files.len() > 50, "the source was found");
    files
}

fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let is_among_tests = path
        .parent()
        .is_some_and(|directory| directory.ends_with("tests"));
    stem == "tests" || stem.ends_with("_tests") || is_among_tests
}

/// The module that a file is, as `engine::decide::told`; empty for the crate's root.
fn module_of(file: &Path) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let relative = file.strip_prefix(source).unwrap().with_extension("");
    let mut parts: Vec<_> = relative
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts.join("::")
}

/// What a file names: paths of ours without `crate::`, and foreign crates.
#[derive(Default)]
struct Imports {
    module: String,
    ours: BTreeSet<String>,
    foreign: BTreeSet<String>,
    /// Names that `mod` and `use` bring into the file; a path that begins with one is not foreign.
    local: BTreeSet<String>,
}

fn imports_of(file: &Path, module: &str) -> Imports {
    let text = fs::read_to_string(file).unwrap();
    let parsed = syn::parse_file(&text).unwrap();
    let mut imports = Imports {
        module: module.to_owned(),
        ..Imports::default()
    };
    for item in &parsed.items {
        if let Item::Mod(ItemMod { ident, .. }) = item {
            imports.local.insert(ident.to_string());
        }
    }
    imports.visit_file(&parsed);
    imports
}

impl Imports {
    fn add(&mut self, segments: &[String]) {
        let Some(first) = segments.first() else {
            return;
        };
        match first.as_str() {
            "crate" => {
                self.ours.insert(segments[1..].join("::"));
            }
            "self" => {}
            "super" => {
                let n_up = segments.iter().take_while(|it| *it == "super").count();
                let own: Vec<_> = self.module.split("::").collect();
                let kept = own.len().saturating_sub(n_up);
                let mut path: Vec<String> = own[..kept].iter().map(|it| (*it).to_owned()).collect();
                path.extend_from_slice(&segments[n_up..]);
                self.ours.insert(path.join("::"));
            }
            name if self.local.contains(name) => {}
            // An enum's variants may be brought in by the enum's own name.
            name if name.starts_with(char::is_uppercase) => {}
            name => {
                self.foreign.insert(name.to_owned());
            }
        }
    }

    fn add_tree(&mut self, tree: &UseTree, prefix: &[String]) {
        let with = |name: String| [prefix, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&path.tree, &with(path.ident.to_string())),
            UseTree::Name(name) => self.add(&with(name.ident.to_string())),
            UseTree::Rename(rename) => self.add(&with(rename.ident.to_string())),
            UseTree::Glob(_) => self.add(prefix),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(tree, prefix);
                }
            }
        }
    }
}

fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test_only(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test_only(&item.attrs) {
            self.add_tree(&item.tree, &[]);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if matches!(segments[0].as_str(), "crate" | "super") {
            self.add(&segments);
        }
        visit::visit_path(self, path);
    }
}
