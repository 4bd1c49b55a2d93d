//! The forms in which a value may appear in a program's output, each written out: unchanged, line by line, in hexadecimal, in base64,
//! in a URL, in JSON. This is what the mask must find at the least.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};

/// Shorter values also occur in ordinary words and numbers.
const SHORTEST: usize = 4;
/// The same for an encoded form, which may lack a character at either end.
const SHORTEST_ENCODED: usize = 5;
/// The same for one line of a value with several.
const SHORTEST_LINE: usize = 8;

/// Every form that is searched for.
pub(crate) fn encode(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    // Programs strip the last newline of what they read from a file.
    let text = value.strip_suffix(b"\n").unwrap_or(value);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    // What is too short itself is not searched for in longer forms either.
    for whole in [value, text].into_iter().filter(|whole| whole.len() >= SHORTEST) {
        forms.insert(whole.to_vec());
        forms.extend([HEXLOWER, HEXUPPER].map(|encoding| encoding.encode(whole).into_bytes()));
        forms.extend(base64(whole));
        forms.extend(url(whole));
        if let Ok(whole) = str::from_utf8(whole) {
            forms.extend(json(whole));
        }
    }
    // A log collector splits a private key into lines.
    if text.contains(&b'\n') {
        let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines = lines.map(<[u8]>::trim_ascii_start);
        forms.extend(lines.filter(|line| line.len() >= SHORTEST_LINE).map(<[u8]>::to_vec));
    }
    forms
}

/// Base64 of the value alone, and the characters that depend on the value alone when it is part of something longer.
fn base64(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    let alphabets: [[Encoding; 2]; 2] = [[BASE64, BASE64_NOPAD], [BASE64URL, BASE64URL_NOPAD]];
    for [with_padding, alphabet] in alphabets {
        // Base64 turns 3 bytes into 4 characters, so what precedes the value shifts it to one of three alignments.
        for before in 0..3 {
            let padded = [&vec![0; before], value].concat();
            let encoded = alphabet.encode(&padded).into_bytes();
            // The first characters hold bits of what precedes: 8 bits reach into 2 characters of 6 bits each, and 16 bits into 3.
            let skip = [0, 2, 3][before];
            let complete = padded.len() * 8 / 6;
            // Twice as if the value were the end, and once without the character that holds bits of what follows.
            forms.push(with_padding.encode(&padded).into_bytes()[skip..].to_vec());
            forms.push(encoded[skip..].to_vec());
            forms.push(encoded[skip..complete].to_vec());
        }
    }
    forms.retain(|form| form.len() >= SHORTEST_ENCODED);
    forms
}

fn url(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    // RFC 3986, JavaScript's encodeURIComponent, HTML forms, and RFC 3986 in a path; each in either case of hexadecimal digits.
    for (unescaped, plus) in [("-._~", false), ("-._~!*'()", false), ("-._*", true), ("-._~/", false)] {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            let mut form = Vec::with_capacity(value.len() * 3);
            for byte in value {
                if byte.is_ascii_alphanumeric() || unescaped.as_bytes().contains(byte) {
                    form.push(*byte);
                } else if plus && *byte == b' ' {
                    form.push(b'+');
                } else {
                    form.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
                }
            }
            forms.push(form);
        }
    }
    forms
}

fn json(value: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    // RFC 8259 alone, and with what encoders escape beyond it: `/` (PHP), `<>&` (Go), quotes as well (.NET), all but ASCII (Python).
    for ascii in [false, true] {
        for (also, upper) in [("", false), ("/", false), ("<>&", false), ("<>&'\"", true), ("", true)] {
            let mut form = String::with_capacity(value.len() * 2);
            for c in value.chars() {
                escape(&mut form, c, ascii, also, upper);
            }
            forms.push(form.into_bytes());
        }
    }
    forms
}

fn escape(form: &mut String, c: char, ascii: bool, also: &str, upper: bool) {
    let short = match c {
        '/' if also == "/" => Some("\\/"),
        '"' if !also.contains('"') => Some("\\\""),
        '\\' => Some("\\\\"),
        '\n' => Some("\\n"),
        '\r' => Some("\\r"),
        '\t' => Some("\\t"),
        '\u{8}' => Some("\\b"),
        '\u{c}' => Some("\\f"),
        _ => None,
    };
    if let Some(short) = short {
        return form.push_str(short);
    }
    if c < ' ' || also.contains(c) || (ascii && c > '~') {
        // JSON escapes UTF-16, so that a character beyond U+FFFF becomes two escapes.
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            let digits = if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
            form.push_str(&digits);
        }
        return;
    }
    form.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &str, form: &str) -> bool {
        encode(value.as_bytes()).contains(form.as_bytes())
    }

    #[test]
    fn common_forms_are_there() {
        let value = "p@ss/w\"rd é\n<x>";
        for form in [
            "p%40ss%2Fw%22rd%20%C3%A9%0A%3Cx%3E",
            "p%40ss%2fw%22rd%20%c3%a9%0a%3cx%3e",
            "p%40ss%2Fw%22rd+%C3%A9%0A%3Cx%3E",
            "p@ss/w\\\"rd é\\n<x>",
            "p@ss\\/w\\\"rd \\u00e9\\n<x>",
            "p@ss/w\\\"rd é\\n\\u003cx\\u003e",
            "p@ss/w\"rd é",
        ] {
            assert!(has(value, form), "{form}");
        }
        assert!(encode(b"abc").is_empty());
    }

    #[test]
    fn base64_is_found_at_every_alignment() {
        let value = b"s3cret-value";
        let forms = encode(value);
        for (before, after) in [("", ""), ("u:", ""), ("us:", "x"), ("use:", "xy"), ("", "tail"), ("a", "")] {
            for encoding in [BASE64, BASE64URL] {
                let all = encoding.encode(&[before.as_bytes(), value, after.as_bytes()].concat());
                let longest = forms
                    .iter()
                    .filter(|form| all.as_bytes().windows(form.len()).any(|window| window == form.as_slice()))
                    .map(Vec::len)
                    .max();
                assert!(longest.is_some_and(|length| length >= value.len() * 8 / 6 - 1), "{before} {after}");
            }
        }
    }
}
