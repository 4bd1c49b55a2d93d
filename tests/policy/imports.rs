//! Which file imports which: the layers of the store, and cycles.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::layering::{SOURCES, rust_files};

/// Source files by module path, tests apart: `crate::store::engine` is `store/engine/mod.rs`.
struct Tree {
    sources: BTreeMap<Vec<String>, String>,
}

impl Tree {
    fn read() -> Self {
        let mut files = Vec::new();
        rust_files(Path::new(SOURCES), &mut files);
        let mut sources = BTreeMap::new();
        for file in files {
            let place = file.strip_prefix(SOURCES).unwrap().with_extension("");
            let mut path = vec!["crate".to_owned()];
            path.extend(place.iter().map(|part| part.to_str().unwrap().to_owned()));
            if path.iter().any(|part| part == "tests" || part == "bin") {
                continue;
            }
            path.pop_if(|last| last == "mod" || last == "lib");
            let source = std::fs::read_to_string(&file).unwrap();
            sources.insert(path, source.split("\nmod tests {").next().unwrap().to_owned());
        }
        Self { sources }
    }

    /// The modules that `module` imports from. A name that its parent re-exports counts as the file that defines it.
    fn imports(&self, module: &[String]) -> BTreeSet<Vec<String>> {
        let paths = paths(&self.sources[module], module);
        paths.iter().filter_map(|path| self.file(path, 0)).filter(|found| *found != module).collect()
    }

    fn file(&self, path: &[String], depth: usize) -> Option<Vec<String>> {
        let (module, rest) = (1..=path.len())
            .rev()
            .map(|at| path.split_at(at))
            .find(|(head, _)| self.sources.contains_key(*head))?;
        let exported = rest.first().filter(|_| depth < 8).and_then(|name| {
            let uses = paths(&self.sources[module], module);
            uses.into_iter().find(|used| {
                used.last() == Some(name) && used.len() > module.len() && used.starts_with(module)
            })
        });
        match exported {
            Some(exported) if exported != path => self.file(&exported, depth + 1),
            _ => Some(module.to_vec()),
        }
    }
}

/// All paths below `crate::` in a source, each in full; `use` trees are expanded, and `super` and `self` resolved.
fn paths(source: &str, module: &[String]) -> Vec<Vec<String>> {
    let code: Vec<&str> = source.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let code = code.join("\n");
    let mut paths = Vec::new();
    for statement in code.split(';') {
        let Some((_, tree)) = statement
            .rsplit_once("use ")
            .filter(|(before, _)| before.trim_end().is_empty() || before.ends_with(['\n', ' ', ')']))
        else {
            continue;
        };
        expand(tree.trim(), &mut Vec::new(), &mut paths);
    }
    for (at, _) in code.match_indices("crate::") {
        let inline: String =
            code[at..].chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
        paths.push(inline.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
    }
    paths.into_iter().filter_map(|path| resolve(path, module)).collect()
}

fn expand(tree: &str, before: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let (head, list) = match tree.split_once('{') {
        Some((head, list)) => (head, list.rsplit_once('}').map(|(list, _)| list)),
        None => (tree, None),
    };
    let depth = before.len();
    let head = head.split(" as ").next().unwrap().trim();
    before.extend(head.split("::").filter(|part| !part.is_empty()).map(str::to_owned));
    match list {
        None => paths.push(before.clone()),
        Some(list) => {
            let (mut nested, mut start) = (0, 0);
            for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
                match c {
                    '{' => nested += 1,
                    '}' => nested -= 1,
                    ',' if nested == 0 => {
                        if !list[start..at].trim().is_empty() {
                            expand(list[start..at].trim(), before, paths);
                        }
                        start = at + 1;
                    }
                    _ => {}
                }
            }
        }
    }
    before.truncate(depth);
}

fn resolve(path: Vec<String>, module: &[String]) -> Option<Vec<String>> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path),
        "super" => Some([&module[..module.len().checked_sub(supers)?], &path[supers..]].concat()),
        "self" => Some([module, &path[1..]].concat()),
        // A child module, or a crate.
        _ => Some([module, &path].concat()),
    }
}

#[test]
fn the_engine_of_the_store_knows_no_table_and_tables_know_no_rule() {
    let tree = Tree::read();
    let mut broken = Vec::new();
    for module in tree.sources.keys().filter(|module| module.len() > 2 && module[1] == "store") {
        let forbidden: &[&str] = match module[2].as_str() {
            "engine" => &["tables", "rules"],
            "tables" => &["rules"],
            _ => continue,
        };
        for import in tree.imports(module) {
            let layer = import.get(1).filter(|name| *name == "store").and(import.get(2));
            if layer.is_some_and(|layer| forbidden.contains(&layer.as_str())) {
                broken.push(format!("{} may not import {}", module.join("::"), import.join("::")));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Files that import each other can only be understood together, so there may be five of them at most. These modules have
/// larger cycles, of this many files; the numbers may only shrink.
const LARGER_CYCLES: &[(&str, usize)] = &[("agent", 16), ("client", 15), ("kv", 10)];

#[test]
fn no_cycle_of_imports_has_more_than_five_files() {
    let tree = Tree::read();
    let imports: BTreeMap<_, _> = tree.sources.keys().map(|module| (module, tree.imports(module))).collect();
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 500, "the imports were not read");
    // What each module reaches; those that reach each other are one cycle.
    let reach = |from: &Vec<String>| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            for import in &imports[&module] {
                if reached.insert(import.clone()) {
                    next.push(import.clone());
                }
            }
        }
        reached
    };
    let reached: BTreeMap<_, _> = imports.keys().map(|module| (*module, reach(module))).collect();
    let mut cycles = BTreeSet::new();
    for (module, reaches) in &reached {
        let cycle: BTreeSet<_> = reaches.iter().filter(|other| reached[other].contains(*module)).collect();
        let allowed = LARGER_CYCLES.iter().find(|(area, _)| module.get(1).is_some_and(|name| name == area));
        if cycle.len() > allowed.map_or(5, |(_, files)| *files) {
            let names: Vec<String> = cycle.iter().map(|module| module.join("::")).collect();
            cycles.insert(names.join("\n    "));
        }
    }
    assert!(
        cycles.is_empty(),
        "these files import each other:\n    {}",
        Vec::from_iter(cycles).join("\n\n    ")
    );
}

/// Two tables with the same letter would share keys.
#[test]
fn every_table_of_the_store_has_a_letter_of_its_own() {
    let tree = Tree::read();
    let mut letters: BTreeMap<char, Vec<String>> = BTreeMap::new();
    for (module, source) in &tree.sources {
        for (at, start) in source.match_indices("Table::new(b'") {
            let letter = source[at + start.len()..].chars().next().unwrap();
            letters.entry(letter).or_default().push(module.join("::"));
        }
    }
    assert!(letters.len() > 20, "the tables were not read: {letters:?}");
    letters.retain(|_, modules| modules.len() > 1);
    assert!(letters.is_empty(), "letters of more than one table: {letters:?}");
}

/// Elsewhere, an implementation would let a type of the domain reach the disk through its derive.
#[test]
fn only_the_macros_of_the_engine_make_stored_fields() {
    let tree = Tree::read();
    let makers: Vec<String> = tree
        .sources
        .iter()
        .filter(|(_, source)| source.lines().any(|line| line.contains("StoredField for ")))
        .map(|(module, _)| module.join("::"))
        .collect();
    assert_eq!(makers, ["crate::store::engine::format"]);
}

/// Without a vector, a change of what is stored would go unnoticed until a store no longer opens.
#[test]
fn every_record_has_golden_vectors() {
    let vectors = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/records.json"));
    let vectors: BTreeMap<String, serde_json::Value> = serde_json::from_str(&vectors.unwrap()).unwrap();
    let sources = Tree::read().sources;
    let records: Vec<&str> = sources
        .iter()
        .filter(|(module, _)| module.starts_with(&["crate".to_owned(), "store".to_owned()]))
        .flat_map(|(_, source)| source.split("\nrecord! { ").skip(1))
        .map(|registration| registration.split(" {").next().unwrap())
        .collect();
    assert!(records.len() > 30, "the records were not read: {records:?}");
    for record in records {
        assert!(vectors.contains_key(record), "add a sample of {record} to src/store/tables/tests.rs");
    }
}
