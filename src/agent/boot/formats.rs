//! The texts in which an environment is left for others to read: one that systemd and a POSIX shell read alike, one for shells to
//! source, one for Docker. What a format cannot hold is refused; nothing is changed to fit.

use zeroize::Zeroizing;

/// Docker reads its file by lines with a limit of 64 KiB each (bufio.Scanner).
const DOCKER_LINE: usize = 64 << 10;

/// A variable, by name and value. Names are those of shells: letters, digits and `_`.
pub(crate) type Variable<'a> = (&'a str, &'a [u8]);

/// Every value in double quotes, with a backslash before `\`, `"`, `$` and the backquote and before nothing else: what
/// systemd.exec(5), `EnvironmentFile=`, and POSIX XCU 2.2.3 both undo. A newline stays a newline.
pub(crate) fn environment_file(variables: &[Variable<'_>]) -> Zeroizing<Vec<u8>> {
    let worst = variables.iter().map(|(name, value)| name.len() + 2 * value.len() + 4).sum();
    // Reserved in full: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(worst));
    for (name, value) in variables {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"=\"");
        for byte in value.iter() {
            if matches!(byte, b'\\' | b'"' | b'$' | b'`') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        text.extend_from_slice(b"\"\n");
    }
    text
}

/// Reads back what [`environment_file`] writes, and nothing else. `None` for any other text.
pub(crate) fn parse(text: &[u8]) -> Option<Vec<(String, Zeroizing<Vec<u8>>)>> {
    let mut variables = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let name = str::from_utf8(&rest[..equals]).ok()?.to_owned();
        rest = rest[equals + 1..].strip_prefix(b"\"")?;
        let mut value = Zeroizing::new(Vec::with_capacity(rest.len().min(64 << 10)));
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            match byte {
                b'"' => break,
                b'\\' => {
                    let (escaped, after) = rest.split_first()?;
                    rest = after;
                    value.push(*escaped);
                }
                byte => value.push(*byte),
            }
        }
        rest = rest.strip_prefix(b"\n")?;
        variables.push((name, value));
    }
    Some(variables)
}

/// For `.` in a POSIX shell: single quotes, in which nothing but a single quote is special.
pub(crate) fn profile(variables: &[Variable<'_>]) -> Zeroizing<Vec<u8>> {
    let worst = variables.iter().map(|(name, value)| name.len() + 4 * value.len() + 16).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(worst));
    for (name, value) in variables {
        text.extend_from_slice(b"export ");
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"='");
        for byte in value.iter() {
            match byte {
                b'\'' => text.extend_from_slice(b"'\\''"),
                byte => text.push(*byte),
            }
        }
        text.extend_from_slice(b"'\n");
    }
    text
}

/// For `docker run --env-file`, which takes lines as they are.
///
/// # Errors
/// The names of the values that it cannot hold: with a newline, ending in a carriage return, or too long.
pub(crate) fn docker(variables: &[Variable<'_>]) -> Result<Zeroizing<Vec<u8>>, Vec<String>> {
    let fits = |(name, value): &Variable<'_>| {
        !value.contains(&b'\n') && !value.ends_with(b"\r") && name.len() + value.len() + 2 < DOCKER_LINE
    };
    let refused: Vec<String> =
        variables.iter().filter(|v| !fits(v)).map(|(name, _)| (*name).to_owned()).collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    let length = variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    for (name, value) in variables {
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn four_bytes_are_escaped_and_nothing_else() {
        let text = environment_file(&[("A", b"a\\b\"c$d`e'f\ng #;"), ("B", b"")]);
        assert_eq!(text.as_slice(), b"A=\"a\\\\b\\\"c\\$d\\`e'f\ng #;\"\nB=\"\"\n");
        assert_eq!(profile(&[("A", b"it's $x\n")]).as_slice(), b"export A='it'\\''s $x\n'\n");
    }

    #[test]
    fn docker_gets_what_its_format_holds_or_nothing() {
        assert_eq!(docker(&[("A", b" x# \"y\" "), ("B", b"")]).unwrap().as_slice(), b"A= x# \"y\" \nB=\n");
        let long = vec![b'x'; 65_600];
        let refused = docker(&[("A", b"a\nb"), ("B", b"b\r"), ("C", &long), ("D", b"d")]).unwrap_err();
        assert_eq!(refused, ["A", "B", "C"]);
    }

    #[test]
    fn another_text_is_not_read() {
        for text in ["A", "A=", "A=x\n", "A=\"x", "A=\"x\"", "A=\"x\\", "# x\n", "A=\"x\" \n", "=\"\"\n\n"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in proptest::collection::vec("(?s).{0,40}", 0..8)) {
            let names: Vec<String> = (0..values.len()).map(|n| format!("N{n}")).collect();
            let variables: Vec<Variable<'_>> =
                names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let read = parse(&environment_file(&variables)).unwrap();
            let read: Vec<Variable<'_>> = read.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            prop_assert_eq!(read, variables);
        }
    }
}
