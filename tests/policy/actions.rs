//! Every permission is checked and every audit action is written: a variant that nothing constructs promises a check or a
//! record that does not exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The names of an enum's variants, from its source.
fn variants(source: &str, declaration: &str) -> Vec<String> {
    let body = source.split_once(declaration).expect(declaration).1;
    let lines = body.lines().skip(1).map(str::trim).take_while(|line| *line != "}");
    let names = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    names.map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()).collect()
}

/// The production code outside `domain`: tests and comments do not count.
fn production_code(folder: &Path, code: &mut String) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" && name != "domain" {
            production_code(&path, code);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let source = std::fs::read_to_string(&path).unwrap();
            let before_tests = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for line in before_tests.lines() {
                code.push_str(line.split("//").next().unwrap());
                code.push('\n');
            }
        }
    }
}

/// The words that follow `Enum::` in the code.
fn constructed(code: &str, of: &str) -> BTreeSet<String> {
    let prefix = format!("{of}::");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(&prefix)
        .filter(|(at, _)| !code[..*at].ends_with(is_word))
        .map(|(at, _)| code[at + prefix.len()..].chars().take_while(|c| is_word(*c)).collect())
        .collect()
}

#[test]
fn every_action_is_checked_and_every_audit_action_is_written() {
    let mut code = String::new();
    production_code(Path::new(SOURCES), &mut code);
    for (file, declaration, of) in [
        ("domain/role/action.rs", "pub enum Action {", "Action"),
        ("domain/audit/words.rs", "pub enum AuditAction, ", "AuditAction"),
    ] {
        let source = std::fs::read_to_string(format!("{SOURCES}/{file}")).unwrap();
        let variants = variants(&source, declaration);
        assert!(variants.len() > 30, "the variants of {of} were not read: {variants:?}");
        let constructed = constructed(&code, of);
        let unused: Vec<_> = variants.iter().filter(|variant| !constructed.contains(*variant)).collect();
        assert!(unused.is_empty(), "nothing constructs {of}::{unused:?}: use it, or remove it");
    }
}
