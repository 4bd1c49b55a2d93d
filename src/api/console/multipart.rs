//! A form as browsers send it (`multipart/form-data`, RFC 7578), taken apart without leaving copies of a value behind.
//! Never repeats what a field held.

use zeroize::Zeroizing;

use crate::api::problem::ApiError;
use crate::domain::value::SecretValue;
use crate::wire::{Code, Value, ValueBase64};

const MAX_FIELDS: usize = 100;

/// The fields of a form, in their order.
pub(crate) struct Form {
    fields: Vec<Field>,
}

struct Field {
    name: String,
    /// It had a file name: a file was chosen.
    file: bool,
    bytes: Zeroizing<Vec<u8>>,
}

impl Form {
    /// Reads a body of that content type.
    pub(crate) fn parse(content_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let unreadable = || ApiError::new(Code::InvalidRequest, "the form could not be read");
        let boundary = boundary(content_type).ok_or_else(|| {
            ApiError::new(Code::UnsupportedMediaType, "the Content-Type is not multipart/form-data")
        })?;
        let delimiter = [b"--", boundary.as_bytes()].concat();
        let mut rest = body.strip_prefix(delimiter.as_slice()).ok_or_else(unreadable)?;
        let delimiter = [b"\r\n", delimiter.as_slice()].concat();
        let mut fields = Vec::new();
        loop {
            if rest.starts_with(b"--") {
                return Ok(Self { fields });
            }
            rest = rest.strip_prefix(b"\r\n").ok_or_else(unreadable)?;
            let end = find(rest, &delimiter).ok_or_else(unreadable)?;
            let (part, after) = rest.split_at(end);
            fields.push(field(part).ok_or_else(unreadable)?);
            if fields.len() > MAX_FIELDS {
                return Err(ApiError::new(Code::PayloadTooLarge, "the form has too many fields"));
            }
            rest = &after[delimiter.len()..];
        }
    }

    /// The text of a field that holds no value, without blanks around it; none when it is empty or not there.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// As [`Self::text`], of each field of that name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let named = self.fields.iter().filter(|field| field.name == name && !field.file);
        let texts = named.filter_map(|field| std::str::from_utf8(&field.bytes).ok());
        texts.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
    }

    /// Whether a box was ticked, or a button of that name pressed.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// A field that holds something secret that is one line of text: a token or a passphrase.
    pub(crate) fn secret_line(&mut self, name: &str) -> Zeroizing<String> {
        let Some(bytes) = self.take(name, false) else { return Zeroizing::default() };
        let mut line = Zeroizing::new(String::with_capacity(bytes.len()));
        if let Ok(text) = std::str::from_utf8(&bytes) {
            line.push_str(text.trim_matches(['\r', '\n', ' ', '\t']));
        }
        line
    }

    /// A value: typed into the field `text`, or the file chosen in the field `file`; none when both are empty.
    pub(crate) fn value(&mut self, text: &str, file: &str) -> Result<Option<SecretValue>, ApiError> {
        let typed = self.take(text, false).filter(|bytes| !bytes.is_empty());
        match (typed, self.take(file, true)) {
            (Some(_), Some(_)) => {
                Err(ApiError::new(Code::InvalidRequest, "there is a value and a file: give one of them"))
            }
            (Some(typed), None) => Ok(Some(SecretValue::new(unix_lines(&typed)))),
            (None, Some(mut bytes)) => Ok(Some(SecretValue::new(std::mem::take(&mut *bytes)))),
            (None, None) => Ok(None),
        }
    }

    fn take(&mut self, name: &str, file: bool) -> Option<Zeroizing<Vec<u8>>> {
        let field = self.fields.iter_mut().find(|field| field.name == name && field.file == file)?;
        Some(std::mem::take(&mut field.bytes))
    }
}

/// A value as a body of the API carries it: as text where it is text, else as base64.
pub(crate) fn carried(value: &SecretValue) -> (Option<Value>, Option<ValueBase64>) {
    match Value::of(value).filter(|_| !value.expose().contains(&0)) {
        Some(text) => (Some(text), None),
        None => (None, Some(ValueBase64::of(value))),
    }
}

/// Browsers send each line break of a text field as CR LF (HTML, "constructing the entry list"); nobody typed the CR.
fn unix_lines(typed: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(typed.len());
    for (at, byte) in typed.iter().enumerate() {
        if *byte != b'\r' || typed.get(at + 1) != Some(&b'\n') {
            lines.push(*byte);
        }
    }
    lines
}

fn boundary(content_type: &str) -> Option<&str> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parts.find_map(|part| part.strip_prefix("boundary="))?.trim_matches('"');
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

fn field(part: &[u8]) -> Option<Field> {
    let end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value.trim())
    })?;
    let name = parameter(disposition, "; name=\"")?.to_owned();
    let chosen = parameter(disposition, "; filename=\"");
    let bytes = Zeroizing::new(part[end + 4..].to_vec());
    // A file field in which nothing was chosen is sent with an empty name and no content.
    let file = match chosen {
        Some("") if bytes.is_empty() => return Some(Field { name: String::new(), file: true, bytes }),
        chosen => chosen.is_some(),
    };
    Some(Field { name, file, bytes })
}

fn parameter<'a>(disposition: &'a str, start: &str) -> Option<&'a str> {
    let rest = &disposition[disposition.find(start)? + start.len()..];
    // A quote inside is sent as %22 (HTML, "multipart/form-data encoding algorithm").
    rest.split('"').next()
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, _) = needle.split_first()?;
    let mut from = 0;
    while let Some(at) = hay.get(from..)?.iter().position(|byte| byte == first) {
        if hay[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parts: &[(&str, &str)]) -> Form {
        let mut body = String::new();
        for (head, content) in parts {
            body.push_str(&format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n"));
        }
        body.push_str("--XX--\r\n");
        Form::parse("multipart/form-data; boundary=XX", body.as_bytes()).unwrap()
    }

    #[test]
    fn fields_are_read_and_blanks_around_texts_dropped() {
        let form = form(&[("name=\"name\"", " a b "), ("name=\"empty\"", " "), ("name=\"name\"", "second")]);
        assert_eq!(form.text("name").as_deref(), Some("a b"));
        assert_eq!(form.all("name"), ["a b", "second"]);
        assert_eq!(form.text("empty"), None);
        assert!(form.has("empty") && !form.has("other"));
    }

    #[test]
    fn a_value_is_kept_as_typed_but_for_the_browsers_line_breaks() {
        let mut typed = form(&[("name=\"value\"", " a\r\nb\rc \r\n")]);
        assert_eq!(typed.value("value", "file").unwrap().unwrap().expose(), b" a\nb\rc \n");
        let mut chosen = form(&[
            ("name=\"value\"", ""),
            ("name=\"file\"; filename=\"k.pem\"\r\nContent-Type: text/plain", "a\r\nb"),
        ]);
        assert_eq!(chosen.value("value", "file").unwrap().unwrap().expose(), b"a\r\nb");
        let mut none = form(&[("name=\"value\"", ""), ("name=\"file\"; filename=\"\"", "")]);
        assert!(none.value("value", "file").unwrap().is_none());
        let mut both = form(&[("name=\"value\"", "x"), ("name=\"file\"; filename=\"f\"", "y")]);
        assert!(both.value("value", "file").is_err());
    }

    #[test]
    fn what_is_damaged_is_refused_without_a_word_of_it() {
        for (kind, body) in [
            ("application/json", "canary"),
            ("multipart/form-data", "canary"),
            ("multipart/form-data; boundary=XX", "canary"),
            ("multipart/form-data; boundary=XX", "--XX\r\ncanary"),
            ("multipart/form-data; boundary=XX", "--XX\r\ncanary\r\n\r\nx\r\n--XX--\r\n"),
            ("multipart/form-data; boundary=XX", "--XXcanary"),
        ] {
            let refused = Form::parse(kind, body.as_bytes()).err().unwrap();
            assert!(!format!("{refused:?}").contains("canary"));
        }
    }

    #[test]
    fn bytes_that_are_no_text_travel_as_base64() {
        assert!(carried(&SecretValue::new(b"a".to_vec())).0.is_some());
        assert!(carried(&SecretValue::new(vec![0])).1.is_some());
        assert!(carried(&SecretValue::new(vec![0xff])).1.is_some());
    }
}
