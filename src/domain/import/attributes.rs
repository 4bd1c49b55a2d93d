//! What comments say of the next line's secret: `# dropsafe: no-install plugin=@acme/db`. A word that is not known is a
//! fault, never passed over: somebody meant something by it.

use std::collections::BTreeMap;

use super::ImportLine;
use crate::domain::attributes::{AttributesPatch, InvalidAttribute};
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
    /// `no-install`, `plugin=NAME`, `category=NAME`, `description=TEXT`.
    pub attributes: AttributesPatch,
    /// `allow-refused`: an administrator allows an exported name on the refusal list.
    pub allow_refused: bool,
}

/// What is wrong with a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommentFault {
    /// A word that means nothing.
    #[error(
        "a dropsafe comment holds a word that is not known; known are no-install, plain, file, allow-refused, plugin=NAME, category=NAME and, last, description=TEXT"
    )]
    Unknown,
    /// An attribute that cannot have this value.
    #[error(transparent)]
    Attribute(#[from] InvalidAttribute),
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
    // The first line after the comment that is not a comment. Consecutive comments share it: searching again from each of them
    // would take quadratic time.
    let mut next = 0;
    for (index, text) in texts.iter().enumerate() {
        let Some(words) = marked(text) else { continue };
        let number = index + 1;
        // The file is parsed once: parsing what stands before each comment would take time in the square of its length.
        let before = lines[..lines.partition_point(|line| line.line < number)].last();
        // Within a quoted value over several lines a `#` begins no comment.
        if before.is_some_and(|line| line.next.is_none_or(|next| number < next)) {
            continue;
        }
        if next < number {
            next = (number..texts.len()).find(|next| !is_comment(texts[*next])).unwrap_or(texts.len());
        }
        let target = next + 1;
        if lines.binary_search_by_key(&target, |line| line.line).is_err() {
            // A blank line after it, or the end of the file: the word would do nothing, and nobody would notice.
            faults.push((number, CommentFault::Alone));
            continue;
        }
        let options = said.entry(target).or_default();
        let mut rest = words.trim();
        while !rest.is_empty() {
            // A description contains blanks, so it goes to the end of the line.
            let end = if rest.starts_with("description=") {
                None
            } else {
                rest.find(|c: char| c.is_ascii_whitespace())
            };
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            if let Err(fault) = options.read(word) {
                faults.push((number, fault));
            }
            rest = after.trim_start();
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
