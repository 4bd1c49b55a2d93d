//! The strings that the workload is started with: exactly one for each variable of the plan, or none at all. Nothing is ever
//! truncated; what does not fit the kernel's limits is told by name and size.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::layers::{Origin, Plan};
use super::obstacle::shown;
use crate::domain::value::SecretValue;

/// The kernel takes no string longer than this, its NUL included (`MAX_ARG_STRLEN`: 32 pages; execve(2)).
const ONE_STRING: usize = 131_072;
/// Nor more in all than three quarters of 8 MiB, whatever the stack limit (`_STK_LIM / 4 * 3`, fs/exec.c).
const MOST: usize = 6 << 20;
/// Nor less than this, however small the stack limit (`ARG_MAX`, fs/exec.c).
const LEAST: usize = 131_072;
/// How many of the largest are named when the whole does not fit.
const NAMED: usize = 5;

/// `NAME=VALUE` strings, in the order of their names. Wiped when dropped; never printed.
pub(crate) struct Strings(Vec<Line>);

/// One of them.
pub(crate) struct Line(CString);

impl AsRef<CStr> for Line {
    fn as_ref(&self) -> &CStr {
        &self.0
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        std::mem::take(&mut self.0).into_bytes().zeroize();
    }
}

impl Strings {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// As execve(2) takes them.
    pub(crate) fn as_slice(&self) -> &[Line] {
        &self.0
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} strings", self.0.len())
    }
}

/// Why no environment can be made of the plan. Names and sizes only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// Values that a variable cannot carry.
    #[error("a variable cannot hold a NUL byte: {}", listed(.0))]
    Nul(Vec<OsString>),
    /// Single strings over the kernel's limit.
    #[error("longer than {} bytes, name and `=` included: {}", ONE_STRING - 1, sized(.0))]
    TooLong(Vec<(OsString, usize)>),
    /// All of them together.
    #[error(
        "arguments and environment make {needed} bytes and the kernel takes {limit} here; the largest are {}",
        sized(largest)
    )]
    TooLarge {
        /// As the kernel counts, bytes.
        needed: usize,
        /// Its limit, bytes.
        limit: usize,
        /// Names and sizes of the largest variables, the largest first.
        largest: Vec<(OsString, usize)>,
    },
    /// An argument over the limit for one string.
    #[error("argument {index} of the workload is longer than {} bytes", ONE_STRING - 1)]
    ArgumentTooLong {
        /// Counted from 1; 0 is the program.
        index: usize,
    },
    /// The plan names a value that is not there.
    #[error("the value of {} is missing", shown(.0))]
    Incomplete(OsString),
}

impl EnvironmentError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Nul(_) | Self::TooLong(_) => Some("deliver such values as files"),
            Self::TooLarge { .. } => Some(
                "deliver large values as files, leave some out with `exclude`, or raise the stack limit (ulimit -s)",
            ),
            Self::ArgumentTooLong { .. } | Self::Incomplete(_) => None,
        }
    }
}

/// The strings of `plan`, with the values it refers to. `file` gives the path of an entry that is delivered as a file.
///
/// # Errors
/// Values that no variable can hold.
pub(crate) fn assemble<'a>(
    plan: &Plan,
    own: &[SecretValue],
    released: &[SecretValue],
    file: impl Fn(usize) -> Option<&'a Path>,
) -> Result<Strings, EnvironmentError> {
    let mut strings = Vec::with_capacity(plan.variables.len());
    let mut nul = Vec::new();
    for variable in &plan.variables {
        let value = match variable.origin {
            Origin::Own(index) => own.get(index).map(SecretValue::expose),
            Origin::Released(entry) => match file(entry) {
                Some(path) => Some(path.as_os_str().as_bytes()),
                None => released.get(entry).map(SecretValue::expose),
            },
            Origin::Reference { entry, .. } => released.get(entry).map(SecretValue::expose),
        };
        let value = value.ok_or_else(|| EnvironmentError::Incomplete(variable.name.clone()))?;
        match join(&variable.name, value) {
            Some(string) => strings.push(string),
            None => nul.push(variable.name.clone()),
        }
    }
    if nul.is_empty() { Ok(Strings(strings)) } else { Err(EnvironmentError::Nul(nul)) }
}

/// The strings of variables that are already together.
///
/// # Errors
/// Values that no variable can hold.
pub(crate) fn strings(variables: &[(OsString, Zeroizing<Vec<u8>>)]) -> Result<Strings, EnvironmentError> {
    let join = |(name, value): &(OsString, Zeroizing<Vec<u8>>)| join(name, value).ok_or_else(|| name.clone());
    let joined: Result<Vec<_>, _> = variables.iter().map(join).collect();
    joined.map(Strings).map_err(|name| EnvironmentError::Nul(vec![name]))
}

/// Whether the kernel will take it, counted as execve(2) counts: every string with its NUL, the program's path once more, and a
/// pointer for each string. `stack` is the soft stack limit in bytes.
///
/// # Errors
/// What does not fit.
pub(crate) fn fits(
    strings: &Strings,
    program: &Path,
    arguments: &[OsString],
    stack: u64,
) -> Result<(), EnvironmentError> {
    if let Some(index) = arguments.iter().position(|argument| argument.len() >= ONE_STRING) {
        return Err(EnvironmentError::ArgumentTooLong { index });
    }
    let mut sizes: Vec<(OsString, usize)> =
        strings.0.iter().map(|string| (name_of(string), string.0.as_bytes().len())).collect();
    sizes.sort_by(|(a, a_size), (b, b_size)| b_size.cmp(a_size).then_with(|| a.cmp(b)));
    let long: Vec<_> = sizes.iter().filter(|(_, size)| *size >= ONE_STRING).cloned().collect();
    if !long.is_empty() {
        return Err(EnvironmentError::TooLong(long));
    }
    let variables: usize = sizes.iter().map(|(_, size)| size + 1).sum();
    let rest: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
    let pointers = (arguments.len().max(1) + sizes.len()) * size_of::<*const u8>();
    let needed = variables + rest + program.as_os_str().len() + 1 + pointers;
    let limit = usize::try_from(stack / 4).unwrap_or(usize::MAX).clamp(LEAST, MOST);
    if needed > limit {
        sizes.truncate(NAMED);
        return Err(EnvironmentError::TooLarge { needed, limit, largest: sizes });
    }
    Ok(())
}

/// `None` for a value that holds a NUL byte.
fn join(name: &OsStr, value: &[u8]) -> Option<Line> {
    if name.as_bytes().contains(&0) || value.contains(&0) {
        return None;
    }
    // Reserved with its NUL: a vector that grows leaves a copy behind.
    let mut string = Vec::with_capacity(name.len() + 1 + value.len() + 1);
    string.extend_from_slice(name.as_bytes());
    string.push(b'=');
    string.extend_from_slice(value);
    CString::new(string).ok().map(Line)
}

fn name_of(string: &Line) -> OsString {
    // The first byte belongs to the name even if it is a `=`: some systems have such names.
    let bytes = string.0.as_bytes();
    let end = bytes.iter().skip(1).position(|byte| *byte == b'=').map_or(bytes.len(), |at| at + 1);
    OsStr::from_bytes(&bytes[..end]).to_owned()
}

fn listed(names: &[OsString]) -> String {
    names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ")
}

fn sized(sizes: &[(OsString, usize)]) -> String {
    sizes.iter().map(|(name, size)| format!("{} ({size} bytes)", shown(name))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::layers::Variable;
    use super::super::own::Layer;
    use super::*;

    fn plan(names: &[&str]) -> Plan {
        let variables = names.iter().enumerate().map(|(index, name)| Variable {
            name: name.into(),
            layer: Layer::Environment,
            origin: Origin::Own(index),
            shadows: Vec::new(),
        });
        Plan { variables: variables.collect(), overruled: Vec::new(), missing_optional: Vec::new() }
    }

    fn strings(variables: &[(&str, &[u8])]) -> Result<Strings, EnvironmentError> {
        let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
        let values: Vec<SecretValue> =
            variables.iter().map(|(_, value)| SecretValue::new(value.to_vec())).collect();
        assemble(&plan(&names), &values, &[], |_| None)
    }

    #[test]
    fn bytes_and_empty_values_stay_as_they_are() {
        let strings = strings(&[("A", b""), ("B", b"\xff\n="), ("=C", b"x")]).unwrap();
        let texts: Vec<&[u8]> = strings.as_slice().iter().map(|string| string.0.as_bytes()).collect();
        assert_eq!(texts, [&b"A="[..], b"B=\xff\n=", b"=C=x"]);
        assert_eq!(name_of(&strings.0[2]), "=C");
    }

    #[test]
    fn a_nul_byte_is_refused_and_named() {
        assert_eq!(
            strings(&[("A", b"x"), ("B", b"hunter2\0")]).unwrap_err().to_string(),
            "a variable cannot hold a NUL byte: B"
        );
    }

    #[test]
    fn a_value_that_is_not_there_stops_everything() {
        let missing = assemble(&plan(&["A"]), &[], &[], |_| None).unwrap_err();
        assert_eq!(missing, EnvironmentError::Incomplete("A".into()));
    }

    #[test]
    fn one_string_may_have_131071_bytes() {
        let value = vec![b'x'; 131_071 - 2];
        let fit = strings(&[("A", &value)]).unwrap();
        assert_eq!(fits(&fit, Path::new("/p"), &["p".into()], u64::MAX), Ok(()));
        let value = vec![b'x'; 131_071 - 1];
        let long = strings(&[("A", &value)]).unwrap();
        let error = fits(&long, Path::new("/p"), &["p".into()], u64::MAX).unwrap_err();
        assert_eq!(error.to_string(), "longer than 131071 bytes, name and `=` included: A (131072 bytes)");
        let argument = OsString::from("x".repeat(131_072));
        let fit = strings(&[]).unwrap();
        let error = fits(&fit, Path::new("/p"), &["p".into(), argument], u64::MAX).unwrap_err();
        assert_eq!(error, EnvironmentError::ArgumentTooLong { index: 1 });
    }

    #[test]
    fn the_whole_is_counted_as_the_kernel_counts() {
        // Two strings, "/p" and "p": 3 + 2 bytes, three pointers: 24, leaves 131072 - 29 for two strings with their NULs.
        let room = LEAST - 29;
        let (a, b) = (vec![b'x'; room / 2 - 3], vec![b'x'; room - room / 2 - 3]);
        let whole = strings(&[("A", &a), ("B", &b)]).unwrap();
        assert_eq!(fits(&whole, Path::new("/p"), &["p".into()], 0), Ok(()));
        let error = fits(&whole, Path::new("/pp"), &["p".into()], 0).unwrap_err();
        let EnvironmentError::TooLarge { needed, limit, largest } = &error else { panic!("{error}") };
        assert_eq!((*needed, *limit), (LEAST + 1, LEAST));
        assert_eq!(largest[0].0, "B");
        assert!(!error.to_string().contains("xx"));
    }
}
