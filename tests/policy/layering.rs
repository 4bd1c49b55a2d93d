//! Compares the imports of the sources with the table in `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Rows `| module | holds | may import |` of the crate's documentation.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let map = std::fs::read_to_string(format!("{SOURCES}/lib.rs")).unwrap();
    map.lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .map(|row| row.trim_end_matches(" |").split(" | ").collect::<Vec<_>>())
        .filter(|cells| cells.len() == 3 && cells[0].contains('`'))
        .map(|cells| {
            let module = cells[0].trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
            let may = cells[2].split(", ").filter(|name| *name != "–").map(str::to_owned).collect();
            (module, may)
        })
        .collect()
}

pub(crate) fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Modules that a source names after `crate::`, comments apart; `use crate::{a, b::c}` included.
fn modules_named(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let word =
        |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut named = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        if code[..at].ends_with('$') || code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            None => drop(named.insert(word(rest))),
            Some(list) => {
                let (mut depth, mut start) = (0, true);
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && c.is_alphabetic() && depth == 0 => {
                            named.insert(word(&list[i..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    named
}

#[test]
fn every_module_imports_only_what_its_row_allows() {
    let table = table();
    assert!(table.len() >= 11, "the table in src/lib.rs was not read: {table:?}");
    let mut broken = Vec::new();
    for (module, may) in &table {
        let mut files = Vec::new();
        rust_files(&Path::new(SOURCES).join(module), &mut files);
        assert!(!files.is_empty(), "the module {module} has no sources");
        for file in files {
            let source = std::fs::read_to_string(&file).unwrap();
            for named in modules_named(&source) {
                if table.contains_key(&named) && named != *module && !may.contains(&named) {
                    broken.push(format!("{}: {module} may not import {named}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_folder_of_sources_has_a_row() {
    let table = table();
    for entry in std::fs::read_dir(SOURCES).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() && name != "bin" {
            assert!(table.contains_key(&name), "src/{name} has no row in the table of src/lib.rs");
        }
    }
}

#[test]
fn every_file_starts_with_a_description_and_stays_small() {
    let mut files = Vec::new();
    rust_files(Path::new(SOURCES), &mut files);
    let mut faults = Vec::new();
    for file in &files {
        let source = std::fs::read_to_string(file).unwrap();
        if !source.starts_with("//!") {
            faults.push(format!("{}: does not open with //!", file.display()));
        }
        let lines = source.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > 500 {
            faults.push(format!(
                "{}: {lines} lines before its tests; look for the second idea",
                file.display()
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn unsafe_code_is_only_in_the_files_listed_here() {
    const NAMED: &[&str] = &["crypto/memory.rs", "agent/supervise/syscalls.rs"];
    let mut files = Vec::new();
    rust_files(Path::new(SOURCES), &mut files);
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(SOURCES).unwrap().to_str().unwrap().to_owned();
        assert!(
            !source.contains("expect(unsafe_code") && !source.contains("allow(unsafe_code")
                || NAMED.contains(&place.as_str()),
            "{place} may not hold unsafe code"
        );
    }
}
