//! The formats in which an environment is left for others: one that systemd and a POSIX shell read alike, one for shells to source,
//! and one for Docker. A value that a format cannot hold is refused, and never changed to fit.

use zeroize::Zeroizing;

/// The name of the environment file in the folder for files.
pub(crate) const ENVIRONMENT: &str = "env";
/// What the environment consists of, without values, in the same folder.
pub(crate) const RECEIPT: &str = "receipt.json";
/// Docker reads its file by lines with a limit of 64 KiB each (bufio.Scanner).
const DOCKER_LINE: usize = 64 << 10;

/// Name and value. The name is one that shells accept: letters, digits and `_`.
pub(crate) type EnvPair<'a> = (&'a str, &'a [u8]);

/// The environment as an `EnvironmentFile=` of systemd.exec(5), which a POSIX shell reads alike.
pub(crate) fn format(variables: &[EnvPair<'_>]) -> Zeroizing<Vec<u8>> {
    let worst = variables.iter().map(|(name, value)| name.len() + 2 * value.len() + 4).sum();
    // Room for every byte escaped: a vector that grows would leave a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(worst));
    for (name, value) in variables {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"=\"");
        for byte in value.iter() {
            // Inside double quotes, systemd and POSIX (XCU 2.2.3) undo a backslash before these four bytes, and disagree about all
            // others. A newline stays a newline in both.
            if matches!(byte, b'\\' | b'"' | b'$' | b'`') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        text.extend_from_slice(b"\"\n");
    }
    text
}

/// Parses what [`format`] writes. Returns `None` for any other text.
pub(crate) fn parse(text: &[u8]) -> Option<Vec<(String, Zeroizing<Vec<u8>>)>> {
    // Strict on purpose: a file that somebody edited might mean something else to systemd, which read it for the workload.
    let mut variables = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let name = str::from_utf8(&rest[..equals]).ok()?.to_owned();
        rest = rest[equals + 1..].strip_prefix(b"\"")?;
        // No value is longer than what is left. The limit keeps a corrupt file from reserving all of it for each value.
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

/// A script for `.` in a POSIX shell.
pub(crate) fn profile_script(variables: &[EnvPair<'_>]) -> Zeroizing<Vec<u8>> {
    // In single quotes, in which only a single quote is special; it becomes four bytes.
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

/// A file for `docker run --env-file`.
///
/// # Errors
/// The names of the values that the format cannot hold.
pub(crate) fn docker_env_file(variables: &[EnvPair<'_>]) -> Result<Zeroizing<Vec<u8>>, Vec<String>> {
    // Docker knows no quotes and no escapes, and cuts a carriage return off the end of a line.
    let fits = |(name, value): &EnvPair<'_>| {
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
        let text = format(&[("A", b"a\\b\"c$d`e'f\ng #;"), ("B", b"")]);
        assert_eq!(text.as_slice(), b"A=\"a\\\\b\\\"c\\$d\\`e'f\ng #;\"\nB=\"\"\n");
        assert_eq!(profile_script(&[("A", b"it's $x\n")]).as_slice(), b"export A='it'\\''s $x\n'\n");
    }

    #[test]
    fn docker_gets_what_its_format_holds_or_nothing() {
        assert_eq!(
            docker_env_file(&[("A", b" x# \"y\" "), ("B", b"")]).unwrap().as_slice(),
            b"A= x# \"y\" \nB=\n"
        );
        let long = vec![b'x'; 65_600];
        let refused =
            docker_env_file(&[("A", b"a\nb"), ("B", b"b\r"), ("C", &long), ("D", b"d")]).unwrap_err();
        assert_eq!(refused, ["A", "B", "C"]);
    }

    #[test]
    fn another_text_is_not_parsed() {
        for text in ["A", "A=", "A=x\n", "A=\"x", "A=\"x\"", "A=\"x\\", "# x\n", "A=\"x\" \n", "=\"\"\n\n"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in proptest::collection::vec("(?s).{0,40}", 0..8)) {
            let names: Vec<String> = (0..values.len()).map(|n| format!("N{n}")).collect();
            let variables: Vec<EnvPair<'_>> =
                names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let read = parse(&format(&variables)).unwrap();
            let read: Vec<EnvPair<'_>> = read.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            prop_assert_eq!(read, variables);
        }
    }
}
