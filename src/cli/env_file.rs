//! A .env file as deposits: its lines, and the attributes that comments before them give. Everything that is wrong with the file
//! is told at once, by line, and nothing of what stands there.

use super::deposit::DepositSpec;
use crate::domain::import;
use crate::domain::secret::ScopeKind;
use crate::domain::value::SecretValue;

/// One line as a deposit.
#[derive(Debug)]
pub(crate) struct EnvFileDeposit {
    /// Counted from 1.
    pub(crate) number: usize,
    /// Everything but the value.
    pub(crate) wanted: DepositSpec,
    /// The value.
    pub(crate) value: SecretValue,
}

/// What is wrong with one line, in a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvFileFault {
    /// Counted from 1.
    pub(crate) number: usize,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

impl EnvFileFault {
    fn new(number: usize, message: impl ToString, hint: Option<&str>) -> Self {
        let message = message.to_string();
        Self { number, message: hint.map_or(message.clone(), |hint| format!("{message}; {hint}")) }
    }
}

/// Reads a whole file.
pub(crate) fn parse(bytes: &[u8], scope: ScopeKind) -> Result<Vec<EnvFileDeposit>, Vec<EnvFileFault>> {
    let read = import::lines(bytes);
    let (mut said, comments) = import::attributes(bytes, &read);
    let mut lines = Vec::with_capacity(read.len());
    let mut faults = Vec::new();
    for import::ImportLine { line: number, name, value } in read {
        match (name, value) {
            (Some(name), Ok(value)) => {
                let said = said.remove(&number).unwrap_or_default();
                let wanted = DepositSpec {
                    kind: said.kind,
                    delivery: said.delivery,
                    attributes: said.attributes,
                    allow_refused: said.allow_refused,
                    ..DepositSpec::of(name, scope)
                };
                lines.push(EnvFileDeposit { number, wanted, value });
            }
            (_, Err(kind)) => faults.push(EnvFileFault::new(number, kind, kind.hint())),
            (None, Ok(_)) => {}
        }
    }
    faults.extend(comments.into_iter().map(|(number, fault)| EnvFileFault::new(number, fault, None)));
    faults.sort_by_key(|fault| fault.number);
    if faults.is_empty() { Ok(lines) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attributes::FieldPatch;
    use crate::domain::name::{Category, PluginName};
    use crate::domain::value::{Delivery, Kind};

    fn read(text: &str) -> Result<Vec<EnvFileDeposit>, Vec<(usize, String)>> {
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
        assert_eq!(lines[0].wanted.attributes.auto_install, None);
        assert_eq!(lines[1].wanted.attributes.auto_install, Some(false));
        assert_eq!(
            lines[1].wanted.attributes.plugin,
            FieldPatch::Set(PluginName::parse("@acme/db").unwrap())
        );
        assert_eq!(lines[1].wanted.attributes.category, FieldPatch::Set(Category::parse("api_key").unwrap()));
        assert_eq!(lines[2].wanted.attributes.plugin, FieldPatch::Keep);
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
