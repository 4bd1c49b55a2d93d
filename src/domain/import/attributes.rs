//! What comments say of the next line's secret: `# dropsafe: no-install plugin=@acme/db`. A word that is not known is a
//! fault, never passed over: somebody meant something by it.

use std::collections::BTreeMap;

use super::{ImportFaultKind, ImportLine};
use crate::domain::attributes::AttributesPatch;
use crate::domain::name::NameError;
use crate::domain::value::{Delivery, Kind};

/// What a comment begins with to say something about the next line's secret.
const MARK: &str = "dropsafe:";

/// What the comments before one line say of its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineOptions {
    /// `plain`.
    pub kind: Option<Kind>,
    /// `file`.
    pub delivery: Option<Delivery>,
    /// `no-install`, `plugin=NAME`, `category=NAME`.
    pub attributes: AttributesPatch,
    /// `allow-refused`: an administrator allows an exported name on the refusal list.
    pub allow_refused: bool,
}

/// What is wrong with a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommentFault {
    /// A word that means nothing.
    #[error(
        "a dropsafe comment holds a word that is not known; known are no-install, plain, file, allow-refused, plugin=NAME and category=NAME"
    )]
    Unknown,
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Nothing follows that it could be about.
    #[error("a dropsafe comment stands before no assignment")]
    Alone,
}

/// What the comments of a file say, by the line of the assignment that they are for; and what is wrong with them, by their
/// own line. `lines` are those of the same bytes.
pub fn attributes(
    bytes: &[u8],
    lines: &[ImportLine],
) -> (BTreeMap<usize, LineOptions>, Vec<(usize, CommentFault)>) {
    let texts: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut said: BTreeMap<usize, LineOptions> = BTreeMap::new();
    let mut faults = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let Some(words) = marked(text) else { continue };
        if within_a_value(&texts[..index]) {
            continue;
        }
        let number = index + 1;
        let next = (number..texts.len()).find(|next| !is_comment(texts[*next])).map(|next| next + 1);
        let Some(target) = next.filter(|next| lines.iter().any(|line| line.line == *next)) else {
            faults.push((number, CommentFault::Alone));
            continue;
        };
        let options = said.entry(target).or_default();
        for word in words.split_ascii_whitespace() {
            if let Err(fault) = options.read(word) {
                faults.push((number, fault));
            }
        }
    }
    (said, faults)
}

impl LineOptions {
    fn read(&mut self, word: &str) -> Result<(), CommentFault> {
        let known = match word.split_once('=') {
            Some((key, text)) => self.attributes.set(key, text)?,
            None => self.set_flag(word),
        };
        if known { Ok(()) } else { Err(CommentFault::Unknown) }
    }

    fn set_flag(&mut self, word: &str) -> bool {
        match word {
            "no-install" => self.attributes.auto_install = Some(false),
            "plain" => self.kind = Some(Kind::Plain),
            "file" => self.delivery = Some(Delivery::File),
            "allow-refused" => self.allow_refused = true,
            _ => return false,
        }
        true
    }
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
    let before = before.join(&b'\n');
    super::lines(&before).iter().any(|line| matches!(line.value, Err(ImportFaultKind::Unclosed)))
}
