//! Parses forms (multipart/form-data, RFC 7578) without leaving copies of a value in memory. Its errors never quote what
//! a field held.

use zeroize::Zeroizing;

use crate::api::problem::ApiError;
use crate::domain::value::SecretValue;
use crate::wire::{Code, Value, ValueBase64};

/// No page has so many fields; the longest is a preset with a dozen values.
const MAX_FIELDS: usize = 100;

/// The fields of a form, in their order.
pub(crate) struct MultipartForm {
    fields: Vec<MultipartField>,
}

struct MultipartField {
    name: String,
    /// Whether the field has a file name: it is a file that was chosen.
    file: bool,
    bytes: Zeroizing<Vec<u8>>,
}

impl MultipartForm {
    /// Parses a body with the boundary that its content type names.
    pub(crate) fn parse(content_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let malformed = || ApiError::new(Code::InvalidRequest, "the form is malformed");
        let boundary = boundary(content_type).ok_or_else(|| {
            ApiError::new(Code::UnsupportedMediaType, "the Content-Type is not multipart/form-data")
        })?;
        let delimiter = [b"--", boundary.as_bytes()].concat();
        // RFC 2046 allows a preamble before the first delimiter. Browsers send none, so one is an error.
        let mut rest = body.strip_prefix(delimiter.as_slice()).ok_or_else(malformed)?;
        // From here on the line break before a delimiter belongs to it, not to the field's content.
        let delimiter = [b"\r\n", delimiter.as_slice()].concat();
        let mut fields = Vec::new();
        loop {
            if rest.starts_with(b"--") {
                return Ok(Self { fields });
            }
            rest = rest.strip_prefix(b"\r\n").ok_or_else(malformed)?;
            let end = find(rest, &delimiter).ok_or_else(malformed)?;
            let (part, after) = rest.split_at(end);
            fields.push(parse_field(part).ok_or_else(malformed)?);
            // A body of 2 MiB could hold 40,000 empty fields, each of which costs an allocation.
            if fields.len() > MAX_FIELDS {
                return Err(ApiError::new(Code::PayloadTooLarge, "the form has too many fields"));
            }
            rest = &after[delimiter.len()..];
        }
    }

    /// Returns the text of a field that holds no value, without blanks around it. Returns `None` if it is empty or absent.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        // A file under this name does not count: its content could be a value, and a text gets back into the page.
        let mut named = self.fields.iter().filter(|field| field.name == name && !field.file);
        named.find_map(|field| {
            let text = std::str::from_utf8(&field.bytes).ok()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        })
    }

    /// As [`Self::text`], but empty instead of `None`.
    pub(crate) fn text_or_empty(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    /// Returns whether a box was ticked, or a button of that name pressed. Browsers leave out those that were not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// Takes a secret that is one line of text: a token or a passphrase. Returns an empty string if there is none.
    pub(crate) fn take_secret_line(&mut self, name: &str) -> Zeroizing<String> {
        let Some(bytes) = self.take(name, false) else { return Zeroizing::default() };
        // A buffer of the final size: one that grows would leave its former, unwiped memory behind.
        let mut line = Zeroizing::new(String::with_capacity(bytes.len()));
        if let Ok(text) = std::str::from_utf8(&bytes) {
            // Pasting often brings a line break along, which belongs to no token and no passphrase.
            line.push_str(text.trim_matches(['\r', '\n', ' ', '\t']));
        }
        line
    }

    /// Takes a value: typed into the field `text`, or the file chosen in the field `file`. Returns `None` if both are empty.
    pub(crate) fn take_value(&mut self, text: &str, file: &str) -> Result<Option<SecretValue>, ApiError> {
        let typed = self.take(text, false).filter(|bytes| !bytes.is_empty());
        match (typed, self.take(file, true)) {
            (Some(_), Some(_)) => {
                Err(ApiError::new(Code::InvalidRequest, "the form has a value and a file: give only one"))
            }
            (Some(typed), None) => Ok(Some(SecretValue::new(restore_line_breaks(&typed)))),
            // An empty file counts as a value: somebody chose it.
            (None, Some(mut bytes)) => Ok(Some(SecretValue::new(std::mem::take(&mut *bytes)))),
            (None, None) => Ok(None),
        }
    }

    /// Takes the value of the fields `value` and `value_file`. A form without one is refused: the API accepts an empty
    /// value, but nobody means to deposit nothing by hand.
    pub(crate) fn require_value(&mut self) -> Result<SecretValue, ApiError> {
        self.take_value("value", "value_file")?.ok_or_else(|| {
            ApiError::new(Code::ValueInvalid, "the value is missing")
                .hint("type or paste it, or choose a file")
        })
    }

    fn take(&mut self, name: &str, file: bool) -> Option<Zeroizing<Vec<u8>>> {
        let field = self.fields.iter_mut().find(|field| field.name == name && field.file == file)?;
        Some(std::mem::take(&mut field.bytes))
    }
}

/// Converts a value to the fields of a request body: text if possible, else base64.
pub(crate) fn encode_value(value: &SecretValue) -> (Option<Value>, Option<ValueBase64>) {
    // The API refuses a NUL in text, because no variable can hold it. As base64 it can still become a file.
    match Value::of(value).filter(|_| !value.expose().contains(&0)) {
        Some(text) => (Some(text), None),
        None => (None, Some(ValueBase64::of(value))),
    }
}

fn restore_line_breaks(typed: &[u8]) -> Vec<u8> {
    // Browsers send each line break of a text field as CR LF (HTML, "constructing the entry list"). Nobody typed the CR,
    // and a private key in PEM with it is unreadable to some programs. A lone CR was pasted, and stays.
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
    // RFC 2046 section 5.1.1: at most 70 characters.
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

fn parse_field(part: &[u8]) -> Option<MultipartField> {
    let end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value.trim())
    })?;
    let name = parameter(disposition, "; name=\"")?.to_owned();
    let chosen = parameter(disposition, "; filename=\"");
    let bytes = Zeroizing::new(part[end + 4..].to_vec());
    // A file field in which nothing was chosen is sent with an empty file name and no content. It must not count as an
    // empty file, so its name is dropped.
    let file = match chosen {
        Some("") if bytes.is_empty() => {
            return Some(MultipartField { name: String::new(), file: true, bytes });
        }
        chosen => chosen.is_some(),
    };
    Some(MultipartField { name, file, bytes })
}

fn parameter<'a>(disposition: &'a str, start: &str) -> Option<&'a str> {
    let rest = &disposition[disposition.find(start)? + start.len()..];
    // A quote inside is sent as %22 (HTML, "multipart/form-data encoding algorithm").
    rest.split('"').next()
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    // Only positions of the first byte are compared in full: a field may hold a file of 1 MiB.
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

    fn form(parts: &[(&str, &str)]) -> MultipartForm {
        let mut body = String::new();
        for (head, content) in parts {
            body.push_str(&format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n"));
        }
        body.push_str("--XX--\r\n");
        MultipartForm::parse("multipart/form-data; boundary=XX", body.as_bytes()).unwrap()
    }

    #[test]
    fn fields_are_read_and_blanks_around_texts_dropped() {
        let form = form(&[("name=\"name\"", " a b "), ("name=\"empty\"", " "), ("name=\"name\"", "second")]);
        assert_eq!(form.text("name").as_deref(), Some("a b"));
        assert_eq!(form.text_or_empty("empty"), "");
        assert_eq!(form.text("empty"), None);
        assert!(form.has("empty") && !form.has("other"));
    }

    #[test]
    fn a_value_is_kept_as_typed_but_for_the_browsers_line_breaks() {
        let mut typed = form(&[("name=\"value\"", " a\r\nb\rc \r\n")]);
        assert_eq!(typed.take_value("value", "file").unwrap().unwrap().expose(), b" a\nb\rc \n");
        let mut chosen = form(&[
            ("name=\"value\"", ""),
            ("name=\"file\"; filename=\"k.pem\"\r\nContent-Type: text/plain", "a\r\nb"),
        ]);
        assert_eq!(chosen.take_value("value", "file").unwrap().unwrap().expose(), b"a\r\nb");
        let mut none = form(&[("name=\"value\"", ""), ("name=\"file\"; filename=\"\"", "")]);
        assert!(none.take_value("value", "file").unwrap().is_none());
        let mut both = form(&[("name=\"value\"", "x"), ("name=\"file\"; filename=\"f\"", "y")]);
        assert!(both.take_value("value", "file").is_err());
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
            let error = MultipartForm::parse(kind, body.as_bytes()).err().unwrap();
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn bytes_that_are_no_text_travel_as_base64() {
        assert!(encode_value(&SecretValue::new(b"a".to_vec())).0.is_some());
        assert!(encode_value(&SecretValue::new(vec![0])).1.is_some());
        assert!(encode_value(&SecretValue::new(vec![0xff])).1.is_some());
    }
}
