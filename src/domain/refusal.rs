//! Exported names that change how programs load, run or trust. Refused by default, because one member's shared secret
//! would otherwise run code in everybody's machines. Must never depend on anything but the name.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Serialize;

use crate::domain::name::EnvName;

mod table;

/// Why an exported name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What reads the variable.
    pub family: &'static str,
    /// What setting it would do.
    pub why: &'static str,
}

/// The reason to refuse this exported name, if there is one.
///
/// Compared byte for byte, as Linux does, except where the program that reads the variable ignores case.
pub fn refused(env: &EnvName) -> Option<Refusal> {
    let name = env.as_str();
    if let Some(refusal) = find(name, false) {
        return Some(refusal);
    }
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return find(&name.to_ascii_uppercase(), true);
    }
    None
}

struct Family {
    family: &'static str,
    why: &'static str,
    /// Names with blanks between. One that ends in `*` is a prefix; one that ends in `+` is one that a capital follows.
    names: &'static str,
    /// Whether the program reads its variables in either case. The names are in upper case then.
    any_case: bool,
}

struct Index {
    exact: HashMap<&'static str, &'static Family>,
    prefixes: Vec<(&'static str, bool, &'static Family)>,
}

// A boot asks for every candidate, so the names are looked up and not searched.
static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { exact: HashMap::new(), prefixes: Vec::new() };
    for family in table::FAMILIES {
        for name in family.names.split_ascii_whitespace() {
            if let Some(prefix) = name.strip_suffix('*') {
                index.prefixes.push((prefix, false, family));
            } else if let Some(stem) = name.strip_suffix('+') {
                index.prefixes.push((stem, true, family));
            } else {
                index.exact.entry(name).or_insert(family);
            }
        }
    }
    index
});

fn find(name: &str, any_case_only: bool) -> Option<Refusal> {
    let by_prefix = || {
        INDEX.prefixes.iter().find_map(|(prefix, letter, family)| {
            let rest = name.strip_prefix(prefix)?;
            (!letter || rest.starts_with(|next: char| next.is_ascii_uppercase())).then_some(*family)
        })
    };
    let family = INDEX.exact.get(name).copied().or_else(by_prefix)?;
    if any_case_only && !family.any_case {
        return None;
    }
    Some(Refusal { family: family.family, why: family.why })
}
