//! A .env file as lines to import, with the attributes that comments in front of them set. All faults of a file are reported
//! together, by line, and nothing of its content is repeated.

use crate::client::ImportEntry;
use crate::domain::import::{self, ImportLine};

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvFileFault {
    /// Counted from 1.
    pub(crate) number: usize,
    /// On one line, with what to do about it.
    pub(crate) message: String,
}

impl EnvFileFault {
    fn new(number: usize, message: impl ToString, hint: Option<&str>) -> Self {
        let message = message.to_string();
        Self { number, message: hint.map_or(message.clone(), |hint| format!("{message}; {hint}")) }
    }
}

/// Parses a whole file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<ImportEntry>, Vec<EnvFileFault>> {
    let assignments = import::lines(bytes);
    let (mut options, bad_comments) = import::attributes(bytes, &assignments);
    let mut entries = Vec::with_capacity(assignments.len());
    let mut faults = Vec::new();
    for ImportLine { line, name, value, .. } in assignments {
        match (name, value) {
            (Some(name), Ok(value)) => {
                // By line and not by name: a name can occur twice, and its second line is reported as a fault.
                let options = options.remove(&line).unwrap_or_default();
                entries.push(ImportEntry { line, name, options, value });
            }
            (_, Err(kind)) => faults.push(EnvFileFault::new(line, kind, kind.hint())),
            // A line without a name always has a fault instead of a value.
            (None, Ok(_)) => {}
        }
    }
    faults.extend(bad_comments.into_iter().map(|(line, fault)| EnvFileFault::new(line, fault, None)));
    // Two passes found them; a person fixes the file from top to bottom.
    faults.sort_by_key(|fault| fault.number);
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attributes::FieldPatch;
    use crate::domain::name::{Category, PluginName};
    use crate::domain::value::{Delivery, Kind};

    fn read(text: &str) -> Result<Vec<ImportEntry>, Vec<(usize, String)>> {
        parse(text.as_bytes())
            .map_err(|faults| faults.into_iter().map(|fault| (fault.number, fault.message)).collect())
    }

    #[test]
    fn comments_set_attributes_of_the_next_line_only() {
        let lines = read(
            "A=1\n# dropsafe: no-install plugin=@acme/db\n# why\n#dropsafe: category=api_key  description= Live key, file 2 \nopenai-api-key=2\nB=3\n\
             # dropsafe: plain\nREGION=eu\n# dropsafe: file\nKEY='a\nb'\n",
        )
        .unwrap();
        let names: Vec<_> = lines.iter().map(|line| line.name.to_string()).collect();
        assert_eq!(names, ["A", "openai-api-key", "B", "REGION", "KEY"]);
        assert_eq!(lines.iter().map(|line| line.line).collect::<Vec<_>>(), [1, 5, 6, 8, 10]);
        assert_eq!(lines[0].options.attributes.auto_install, None);
        assert_eq!(lines[1].options.attributes.auto_install, Some(false));
        assert_eq!(
            lines[1].options.attributes.plugin,
            FieldPatch::Set(PluginName::parse("@acme/db").unwrap())
        );
        assert_eq!(
            lines[1].options.attributes.category,
            FieldPatch::Set(Category::parse("api_key").unwrap())
        );
        // A description goes to the end of its line, whatever words it holds.
        let description = "Live key, file 2".parse().unwrap();
        assert_eq!(lines[1].options.attributes.description, FieldPatch::Set(description));
        assert_eq!(lines[1].options.delivery, None);
        assert_eq!(lines[2].options.attributes.plugin, FieldPatch::Keep);
        assert_eq!(lines[3].options.kind, Some(Kind::Plain));
        assert_eq!(lines[4].options.delivery, Some(Delivery::File));
    }

    #[test]
    fn what_looks_like_a_comment_within_a_value_is_the_value() {
        let lines = read("A='\n# dropsafe: plain\n'\nB=2\n").unwrap();
        assert_eq!(lines[0].value.expose(), b"\n# dropsafe: plain\n");
        assert_eq!(lines[1].options.kind, None);
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
