//! A .env file as deposits: its lines, and the attributes that comments before them give. Everything that is wrong with the file
//! is told at once, by line, and nothing of what stands there.

use std::collections::BTreeMap;

use super::deposit::Wanted;
use crate::domain::import;
use crate::domain::import::Assignment;
use crate::domain::import::FaultKind;
use crate::domain::name::Category;
use crate::domain::name::NameError;
use crate::domain::name::PluginName;
use crate::domain::secret::ScopeKind;
use crate::domain::value::Delivery;
use crate::domain::value::Kind;
use crate::domain::value::SecretValue;

/// What a comment begins with to say something about the next line's secret.
const MARK: &str = "dropsafe:";

/// One line as a deposit.
#[derive(Debug)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// Everything but the value.
    pub wanted: Wanted,
    /// The value.
    pub value: SecretValue,
}

/// What is wrong with one line, in a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub number: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Fault {
    fn new(number: usize, message: impl ToString, hint: Option<&str>) -> Self {
        let message = message.to_string();
        Self { number, message: hint.map_or(message.clone(), |hint| format!("{message}; {hint}")) }
    }
}

/// Reads a whole file.
pub fn parse(bytes: &[u8], scope: ScopeKind) -> Result<Vec<Line>, Vec<Fault>> {
    let assignments = import::parse(bytes).map_err(|faults| {
        faults
            .into_iter()
            .map(|fault| Fault::new(fault.line, fault.kind, fault.kind.hint()))
            .collect::<Vec<_>>()
    })?;
    let mut said = directives(bytes, &assignments)?;
    let line = |assignment: Assignment| {
        let attributes = said.remove(&assignment.line).unwrap_or_default();
        let wanted = Wanted {
            kind: attributes.kind,
            delivery: attributes.delivery,
            auto_install: attributes.auto_install,
            plugin: attributes.plugin,
            category: attributes.category,
            allow_refused: attributes.allow_refused,
            ..Wanted::of(assignment.name, scope)
        };
        Line { number: assignment.line, wanted, value: assignment.value }
    };
    Ok(assignments.into_iter().map(line).collect())
}

/// What comments say of one line.
#[derive(Debug, Default)]
struct Attributes {
    kind: Option<Kind>,
    delivery: Option<Delivery>,
    auto_install: Option<bool>,
    plugin: Option<PluginName>,
    category: Option<Category>,
    allow_refused: bool,
}

impl Attributes {
    fn take(&mut self, word: &str) -> Result<(), WordError> {
        match word.split_once('=') {
            Some(("plugin", name)) => self.plugin = Some(PluginName::parse(name)?),
            Some(("category", name)) => self.category = Some(Category::parse(name)?),
            None if word == "no-install" => self.auto_install = Some(false),
            None if word == "plain" => self.kind = Some(Kind::Plain),
            None if word == "file" => self.delivery = Some(Delivery::File),
            None if word == "allow-refused" => self.allow_refused = true,
            _ => return Err(WordError::Unknown),
        }
        Ok(())
    }
}

/// Why a word of a comment is not understood.
#[derive(Debug, thiserror::Error)]
enum WordError {
    #[error(
        "a dropsafe comment holds a word that is not known; known are no-install, plain, file, allow-refused, plugin=NAME and category=NAME"
    )]
    Unknown,
    #[error(transparent)]
    Name(#[from] NameError),
}

/// The attributes by the line of the assignment that they are for.
fn directives(bytes: &[u8], assignments: &[Assignment]) -> Result<BTreeMap<usize, Attributes>, Vec<Fault>> {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut said: BTreeMap<usize, Attributes> = BTreeMap::new();
    let mut faults = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(words) = marked(line) else { continue };
        if within_a_value(&lines[..index]) {
            continue;
        }
        let number = index + 1;
        let next = (number..lines.len()).find(|next| !is_comment(lines[*next])).map(|next| next + 1);
        let Some(target) = next.filter(|next| assignments.iter().any(|assignment| assignment.line == *next))
        else {
            faults.push(Fault::new(number, "a dropsafe comment stands before no assignment", None));
            continue;
        };
        let attributes = said.entry(target).or_default();
        for word in words.split_ascii_whitespace() {
            if let Err(error) = attributes.take(word) {
                faults.push(Fault::new(number, error, None));
            }
        }
    }
    if faults.is_empty() { Ok(said) } else { Err(faults) }
}

fn is_comment(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"#")
}

/// The words of a comment that is meant for us.
fn marked(line: &[u8]) -> Option<&str> {
    let comment = line.trim_ascii().strip_prefix(b"#")?;
    str::from_utf8(comment).ok()?.trim_start().strip_prefix(MARK)
}

/// Whether a quote that these lines open goes on after them.
fn within_a_value(before: &[&[u8]]) -> bool {
    let faults = import::parse(&before.join(&b'\n')).err().unwrap_or_default();
    faults.iter().any(|fault| fault.kind == FaultKind::Unclosed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Line>, Vec<(usize, String)>> {
        parse(text.as_bytes(), ScopeKind::Shared)
            .map_err(|faults| faults.into_iter().map(|fault| (fault.number, fault.message)).collect())
    }

    #[test]
    fn comments_set_attributes_of_the_next_line_only() {
        let lines = read(
            "A=1\n# dropsafe: no-install plugin=@acme/db\n# why\n#dropsafe: category=api_key\nopenai-api-key=2\nB=3\n\
             # dropsafe: plain\nREGION=eu\n# dropsafe: file\nKEY='a\nb'\n",
        )
        .unwrap();
        let names: Vec<_> = lines.iter().map(|line| line.wanted.name.to_string()).collect();
        assert_eq!(names, ["A", "openai-api-key", "B", "REGION", "KEY"]);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 5, 6, 8, 10]);
        assert_eq!(lines[0].wanted.auto_install, None);
        assert_eq!(lines[1].wanted.auto_install, Some(false));
        assert_eq!(lines[1].wanted.plugin.as_ref().map(PluginName::as_str), Some("@acme/db"));
        assert_eq!(lines[1].wanted.category.as_ref().map(Category::as_str), Some("api_key"));
        assert_eq!(lines[2].wanted.plugin, None);
        assert_eq!(lines[3].wanted.kind, Some(Kind::Plain));
        assert_eq!(lines[4].wanted.delivery, Some(Delivery::File));
    }

    #[test]
    fn what_looks_like_a_comment_within_a_value_is_the_value() {
        let lines = read("A='\n# dropsafe: plain\n'\nB=2\n").unwrap();
        assert_eq!(lines[0].value.expose(), b"\n# dropsafe: plain\n");
        assert_eq!(lines[1].wanted.kind, None);
    }

    #[test]
    fn every_fault_has_its_line_and_no_value() {
        let faults =
            read("# dropsafe: hunter2\nA=1\n# dropsafe: plain\n\nB=2\n# dropsafe: plugin=not!ok\nC=3\n")
                .unwrap_err();
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3, 6]);
        let faults = read("hunter2\nA = hunter2\nB=hunter2 # x\n").unwrap_err();
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!format!("{faults:?}").contains("hunter2"));
    }
}
