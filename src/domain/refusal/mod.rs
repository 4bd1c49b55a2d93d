//! Exported names that change how programs load, run or trust. Refused by default, because one member's shared secret
//! would otherwise run code in everybody's machines. Must never depend on anything but the name.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Serialize;

use crate::domain::name::EnvName;

mod table;
#[cfg(test)]
mod tests;

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
    let in_any_case = || {
        // A name without small letters was looked up as it is, and a second lookup would find nothing else.
        let lower = name.bytes().any(|byte| byte.is_ascii_lowercase());
        let upper = lower.then(|| name.to_ascii_uppercase())?;
        find(&upper).filter(|family| family.any_case)
    };
    let family = find(name).or_else(in_any_case)?;
    Some(Refusal { family: family.family, why: family.why })
}

struct Family {
    family: &'static str,
    why: &'static str,
    /// Patterns with blanks between, see [`Pattern`].
    names: &'static str,
    /// Whether the programs read the variable in any case.
    any_case: bool,
}

/// `NAME` is that name; `PRE*POST` any name that begins and ends so; `PRE+` a name that goes on with a capital letter.
enum Pattern {
    Exact(&'static str),
    Around(&'static str, &'static str),
    Capital(&'static str),
}

impl Pattern {
    fn parse(text: &'static str) -> Self {
        match (text.split_once('*'), text.strip_suffix('+')) {
            (Some((before, after)), _) => Self::Around(before, after),
            (None, Some(stem)) => Self::Capital(stem),
            (None, None) => Self::Exact(text),
        }
    }

    fn begins(&self) -> &'static str {
        match self {
            Self::Exact(text) | Self::Around(text, _) | Self::Capital(text) => text,
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => name == *text,
            Self::Around(before, after) => {
                name.strip_prefix(before).is_some_and(|rest| rest.ends_with(after))
            }
            Self::Capital(stem) => name
                .strip_prefix(stem)
                .is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_uppercase())),
        }
    }
}

type RefusedName = (Pattern, &'static Family);

/// The table by the first two bytes of the names, because a boot asks for every candidate and nearly all are fine.
/// Patterns that begin with fewer bytes stand under [`ANY`].
static INDEX: LazyLock<HashMap<[u8; 2], Vec<RefusedName>>> = LazyLock::new(|| {
    let mut index: HashMap<[u8; 2], Vec<RefusedName>> = HashMap::new();
    for family in table::FAMILIES {
        for text in family.names.split_ascii_whitespace() {
            let pattern = Pattern::parse(text);
            index.entry(bucket(pattern.begins())).or_default().push((pattern, family));
        }
    }
    index
});

const ANY: [u8; 2] = [0, 0];

fn bucket(text: &str) -> [u8; 2] {
    text.as_bytes().first_chunk().copied().unwrap_or(ANY)
}

fn find(name: &str) -> Option<&'static Family> {
    let among = |bucket| INDEX.get(&bucket).into_iter().flatten().find(|(pattern, _)| pattern.matches(name));
    // A pattern such as `*_EDITOR` begins with no two bytes to look it up by.
    among(bucket(name)).or_else(|| among(ANY)).map(|(_, family)| *family)
}
