//! Ways to read output: as it is, or as a URL or a JSON string in which characters may be escaped. Any character may be, in either case
//! of hexadecimal digits, since encoders differ in what they escape. Pure.

/// A way to read output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoder {
    Literal,
    /// RFC 3986, and `+` for a space as in HTML forms.
    Url,
    /// RFC 8259.
    Json,
}

/// What one character or escape sequence stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecodedUnit {
    bytes: [u8; 4],
    len: usize,
    /// How many bytes of the text it takes.
    pub(crate) used: usize,
}

/// Why nothing could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undecoded {
    /// The text ends inside an escape sequence.
    Incomplete,
    /// It is no escape sequence.
    Malformed,
}

impl DecodedUnit {
    fn byte(byte: u8, used: usize) -> Self {
        Self { bytes: [byte, 0, 0, 0], len: 1, used }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Decoder {
    /// The decoder for which `byte` starts an escape sequence.
    pub(crate) fn of_escape(byte: u8) -> Option<Self> {
        match byte {
            b'%' | b'+' => Some(Self::Url),
            b'\\' => Some(Self::Json),
            _ => None,
        }
    }

    /// Reads the first character or escape sequence.
    pub(crate) fn read(self, text: &[u8]) -> Result<DecodedUnit, Undecoded> {
        let (first, rest) = text.split_first().ok_or(Undecoded::Incomplete)?;
        match (self, first) {
            (Self::Url, b'%') => Ok(DecodedUnit::byte(hexadecimal(rest, 2)? as u8, 3)),
            (Self::Url, b'+') => Ok(DecodedUnit::byte(b' ', 1)),
            (Self::Json, b'\\') => read_json_escape(rest),
            _ => Ok(DecodedUnit::byte(*first, 1)),
        }
    }
}

/// Reads what follows a backslash.
fn read_json_escape(text: &[u8]) -> Result<DecodedUnit, Undecoded> {
    let (first, rest) = text.split_first().ok_or(Undecoded::Incomplete)?;
    if *first != b'u' {
        let byte = short_escapes().find(|(_, escape)| escape == first).ok_or(Undecoded::Malformed)?.0;
        return Ok(DecodedUnit::byte(byte, 2));
    }
    let (mut code, mut used) = (hexadecimal(rest, 4)?, 6);
    if (0xD800..0xDC00).contains(&code) {
        // JSON escapes UTF-16, so that a character beyond U+FFFF is two escapes.
        let low = rest.get(4..).unwrap_or_default();
        for (at, expected) in b"\\u".iter().enumerate() {
            match low.get(at) {
                None => return Err(Undecoded::Incomplete),
                Some(found) if found != expected => return Err(Undecoded::Malformed),
                Some(_) => {}
            }
        }
        let low = hexadecimal(&low[2..], 4)?.checked_sub(0xDC00).filter(|low| *low < 0x400);
        code = 0x10000 + ((code - 0xD800) << 10) + low.ok_or(Undecoded::Malformed)?;
        used = 12;
    }
    let character = char::from_u32(code).ok_or(Undecoded::Malformed)?;
    let mut bytes = [0; 4];
    let len = character.encode_utf8(&mut bytes).len();
    Ok(DecodedUnit { bytes, len, used })
}

/// The characters with a short escape in JSON, each with the character after the backslash.
pub(crate) fn short_escapes() -> impl Iterator<Item = (u8, u8)> {
    b"\n\r\t\x08\x0c\"\\/".iter().copied().zip(*b"nrtbf\"\\/")
}

/// The number that the first `digits` digits are.
fn hexadecimal(text: &[u8], digits: usize) -> Result<u32, Undecoded> {
    let mut number = 0;
    for at in 0..digits {
        let digit = text.get(at).ok_or(Undecoded::Incomplete)?;
        number = number * 16 + char::from(*digit).to_digit(16).ok_or(Undecoded::Malformed)?;
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(decoder: Decoder, text: &str) -> Result<(String, usize), Undecoded> {
        let unit = decoder.read(text.as_bytes())?;
        Ok((String::from_utf8(unit.bytes().to_vec()).unwrap(), unit.used))
    }

    #[test]
    fn escape_sequences_are_read_in_either_case() {
        for (decoder, text, character, used) in [
            (Decoder::Literal, "%41", "%", 1),
            (Decoder::Url, "%4a4", "J", 3),
            (Decoder::Url, "%4A4", "J", 3),
            (Decoder::Url, "+4", " ", 1),
            (Decoder::Url, "\\n", "\\", 1),
            (Decoder::Json, "\\nx", "\n", 2),
            (Decoder::Json, "\\/x", "/", 2),
            (Decoder::Json, "\\u00E9x", "é", 6),
            (Decoder::Json, "\\u00e9x", "é", 6),
            (Decoder::Json, "\\ud83d\\ude00x", "😀", 12),
            (Decoder::Json, "%41", "%", 1),
        ] {
            assert_eq!(read(decoder, text), Ok((character.to_owned(), used)), "{text}");
        }
    }

    #[test]
    fn what_may_still_become_an_escape_sequence_differs_from_what_cannot() {
        for text in ["", "\\", "\\u", "\\u00e", "\\ud83d", "\\ud83d\\", "\\ud83d\\u", "\\ud83d\\ude0"] {
            assert_eq!(read(Decoder::Json, text), Err(Undecoded::Incomplete), "{text}");
        }
        for text in ["\\x", "\\u00g0", "\\ud83dx", "\\ud83d\\n", "\\ud83d\\u0041", "\\ude00x"] {
            assert_eq!(read(Decoder::Json, text), Err(Undecoded::Malformed), "{text}");
        }
        assert_eq!(read(Decoder::Url, "%"), Err(Undecoded::Incomplete));
        assert_eq!(read(Decoder::Url, "%4"), Err(Undecoded::Incomplete));
        assert_eq!(read(Decoder::Url, "%g"), Err(Undecoded::Malformed));
    }
}
