//! Files of `NAME=VALUE` lines, in the dialect that dotenv tools, shells and systemd agree on. Nothing is expanded: a `$` is a
//! dollar sign. Faults name lines and never what stands on them; values are wiped when dropped.
//!
//! - Empty lines and lines that begin with `#` are skipped; `export` in front of a name is too.
//! - `'…'` is taken as it is. In `"…"`, `\n`, `\r` and `\t` are a newline, a return and a tab, and a backslash before
//!   `\`, `"`, `$` or a backquote stands for that character; before any other it stays. Both may span lines.
//! - Without quotes, a value ends with its line or before white space and `#`, and loses white space around it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::fault::Faults;
use super::key::Origin;

/// One variable of the file.
pub struct Line {
    /// Where it begins, counted from 1.
    pub line: usize,
    /// As written; whether it is a good name is for the caller to say.
    pub name: String,
    /// The value, without its quotes.
    pub value: Zeroizing<String>,
}

/// The variables of `text`, the content of the file `path`, in its order. A name that comes twice is a fault: which of the
/// two was meant, nobody knows.
pub fn parse(path: &str, text: &str, faults: &mut Faults) -> Vec<Line> {
    let path: Arc<str> = path.into();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut cursor = Cursor { rest: text, line: 1 };
    let mut lines: Vec<Line> = Vec::new();
    while !cursor.rest.is_empty() {
        let line = cursor.line;
        let origin = || Origin::Line { file: path.clone(), line, field: "".into() };
        match cursor.entry() {
            Ok(None) => {}
            Ok(Some((name, value))) => match lines.iter().find(|earlier| earlier.name == name) {
                Some(earlier) => {
                    faults.push(origin(), format_args!("the same name as in line {}", earlier.line))
                }
                None => lines.push(Line { line, name, value }),
            },
            Err(message) => faults.push(origin(), message),
        }
    }
    lines
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

type Entry = (String, Zeroizing<String>);

impl<'a> Cursor<'a> {
    /// Takes one line, or the lines that a quoted value spans.
    fn entry(&mut self) -> Result<Option<Entry>, &'static str> {
        let start = self.rest;
        let line = self.take_line();
        let begun = line.trim_start();
        if begun.is_empty() || begun.starts_with('#') {
            return Ok(None);
        }
        let declared = match begun.strip_prefix("export") {
            Some(tail) if tail.starts_with([' ', '\t']) => tail.trim_start(),
            _ => begun,
        };
        let (name, value) = declared.split_once('=').ok_or("no `=` after the name")?;
        let name = name.trim_end();
        if name.is_empty() {
            return Err("no name before the `=`");
        }
        let name = name.to_owned();
        let value = value.trim_start_matches([' ', '\t']);
        let Some(quote) = value.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
            return Ok(Some((name, Zeroizing::new(unquoted(value).to_owned()))));
        };
        // A quoted value may go on in the next lines: begin again behind its opening quote.
        self.line -= 1;
        let opened = line.len() - value.len() + 1;
        self.rest = &start[opened..];
        let value = self.quoted(quote)?;
        let tail = self.take_line().trim();
        if tail.is_empty() || tail.starts_with('#') {
            Ok(Some((name, value)))
        } else {
            Err("something follows the closing quote")
        }
    }

    fn take_line(&mut self) -> &'a str {
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        line.strip_suffix('\r').unwrap_or(line)
    }

    /// The text up to the closing quote, which is taken too.
    fn quoted(&mut self, quote: char) -> Result<Zeroizing<String>, &'static str> {
        let Some(end) = closing(self.rest, quote) else {
            self.rest = "";
            return Err("a quote that is never closed");
        };
        let (inside, rest) = (&self.rest[..end], &self.rest[end + 1..]);
        self.rest = rest;
        self.line += inside.bytes().filter(|byte| *byte == b'\n').count();
        // As long as the value can get: a string that grows leaves a copy behind.
        let mut value = Zeroizing::new(String::with_capacity(inside.len()));
        let mut characters = inside.chars().peekable();
        while let Some(character) = characters.next() {
            let meant = match (character, characters.peek()) {
                ('\\', Some('n')) if quote == '"' => Some('\n'),
                ('\\', Some('r')) if quote == '"' => Some('\r'),
                ('\\', Some('t')) if quote == '"' => Some('\t'),
                ('\\', Some(&(escaped @ ('\\' | '"' | '$' | '`')))) if quote == '"' => Some(escaped),
                _ => None,
            };
            if meant.is_some() {
                characters.next();
            }
            value.push(meant.unwrap_or(character));
        }
        Ok(value)
    }
}

/// Where `quote` closes; in double quotes, a backslash takes the character after it along.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            _ if character == quote => return Some(at),
            '\\' if quote == '"' => characters.next(),
            _ => None,
        };
    }
    None
}

fn unquoted(value: &str) -> &str {
    let comment = value
        .char_indices()
        .find(|(at, c)| *c == '#' && (*at == 0 || value[..*at].ends_with([' ', '\t'])))
        .map_or(value.len(), |(at, _)| at);
    value[..comment].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut faults = Faults::default();
        let lines = parse("x.env", text, &mut faults);
        let lines = lines.into_iter().map(|line| (line.name, line.value.to_string())).collect();
        faults.or(lines).map_err(|faults| faults.to_string())
    }

    fn one(text: &str) -> String {
        let mut lines = read(text).unwrap();
        assert_eq!(lines.len(), 1, "{text:?}");
        lines.remove(0).1
    }

    #[test]
    fn values_in_every_form() {
        for (text, value) in [
            ("A=1", "1"),
            ("A=", ""),
            ("A=\"\"", ""),
            ("A = 1 ", "1"),
            ("export A=1", "1"),
            ("  A=a b  # comment", "a b"),
            ("A=a#b", "a#b"),
            ("A=# comment", ""),
            ("A=a=b", "a=b"),
            ("A=$HOME", "$HOME"),
            ("A='$HOME # \\n'", "$HOME # \\n"),
            ("A=\"x\\ny\"  # comment", "x\ny"),
            ("A=\"x\ny\"", "x\ny"),
            ("A='x\ny'\n", "x\ny"),
            ("A=\"\\\\ \\\" \\$ \\` \\q\"", "\\ \" $ ` \\q"),
            ("A=\"\\\\n\"", "\\n"),
            ("A=it's", "it's"),
            ("A=1\r\n", "1"),
            ("\u{feff}A=é", "é"),
        ] {
            assert_eq!(one(text), value, "{text:?}");
        }
        let read = read("# c\nA=1\n\nB=\"2\n3\"\nC=4").unwrap();
        assert_eq!(read.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["A", "B", "C"]);
    }

    #[test]
    fn every_fault_has_its_line_and_no_value() {
        assert_eq!(
            read("A=\"1\n2\"\nhunter2\n=hunter2\nB='x' hunter2\nA=hunter2\nC=\"hunter2\n").unwrap_err(),
            "x.env:3: no `=` after the name\n\
             x.env:4: no name before the `=`\n\
             x.env:5: something follows the closing quote\n\
             x.env:6: the same name as in line 1\n\
             x.env:7: a quote that is never closed"
        );
    }

    proptest::proptest! {
        /// What is written with the four escapes in double quotes is read back unchanged.
        #[test]
        fn double_quotes_hold_anything(value in "[^\0\r]*") {
            let mut escaped = String::new();
            for c in value.chars() {
                if matches!(c, '\\' | '"' | '$' | '`') {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
            proptest::prop_assert_eq!(one(&format!("A=\"{escaped}\"\n")), value);
        }

        #[test]
        fn anything_is_read_or_refused(text in "[ -~\n\"'\\\\=#]*") {
            let _ = read(&text);
        }
    }
}
