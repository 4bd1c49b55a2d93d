//! The strings that the workload is started with: exactly one for each planned variable, or none at all. Nothing is truncated; what
//! exceeds the kernel's limits is reported by name and size.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::environment_plan::{EnvironmentPlan, ValueOrigin};
use super::plan_error::display_name;
use crate::domain::value::SecretValue;

/// The kernel accepts no longer string, its NUL included (`MAX_ARG_STRLEN`: 32 pages of 4 KiB; execve(2)).
const MAX_STRING: usize = 131_072;
/// The kernel accepts at most three quarters of 8 MiB in all, whatever the stack limit is (`_STK_LIM / 4 * 3`, fs/exec.c).
const MAX_TOTAL: usize = 6 << 20;
/// The kernel always accepts this much, however small the stack limit is (`ARG_MAX`, fs/exec.c).
const MIN_TOTAL: usize = 131_072;
/// How many of the largest variables are named when the whole does not fit.
const LARGEST: usize = 5;

/// `NAME=VALUE` strings, sorted by name. They are wiped when dropped, and never printed.
pub(crate) struct EnvironmentStrings(Vec<EnvironmentString>);

pub(crate) struct EnvironmentString(CString);

impl AsRef<CStr> for EnvironmentString {
    fn as_ref(&self) -> &CStr {
        &self.0
    }
}

impl Drop for EnvironmentString {
    fn drop(&mut self) {
        std::mem::take(&mut self.0).into_bytes().zeroize();
    }
}

impl EnvironmentStrings {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The form that execve(2) takes.
    pub(crate) fn as_slice(&self) -> &[EnvironmentString] {
        &self.0
    }
}

impl fmt::Debug for EnvironmentStrings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} strings", self.0.len())
    }
}

/// Why the plan cannot become an environment. Names and sizes only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvironmentError {
    #[error("a variable cannot hold a NUL byte: {}", list_names(.0))]
    Nul(Vec<OsString>),
    #[error("longer than {} bytes, name and `=` included: {}", MAX_STRING - 1, list_sizes(.0))]
    TooLong(Vec<(OsString, usize)>),
    #[error(
        "arguments and environment take {needed} bytes and the kernel's limit is {limit}; the largest are {}",
        list_sizes(largest)
    )]
    TooLarge {
        /// As the kernel counts, in bytes.
        needed: usize,
        /// In bytes.
        limit: usize,
        /// Names and sizes of the largest variables, the largest first.
        largest: Vec<(OsString, usize)>,
    },
    #[error("argument {index} of the workload is longer than {} bytes", MAX_STRING - 1)]
    ArgumentTooLong {
        /// 0 is the program.
        index: usize,
    },
    /// The plan refers to a value that does not exist.
    #[error("the value of {} is missing", display_name(.0))]
    Incomplete(OsString),
}

impl EnvironmentError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Nul(_) | Self::TooLong(_) => Some("deliver such values as files"),
            Self::TooLarge { .. } => Some(
                "deliver large values as files, exclude some with `exclude`, or raise the stack limit (ulimit -s)",
            ),
            Self::ArgumentTooLong { .. } | Self::Incomplete(_) => None,
        }
    }
}

/// The strings of `plan`. `file` returns the path of an entry that is delivered as a file.
pub(crate) fn assemble<'a>(
    plan: &EnvironmentPlan,
    local: &[SecretValue],
    released: &[SecretValue],
    file: impl Fn(usize) -> Option<&'a Path>,
) -> Result<EnvironmentStrings, EnvironmentError> {
    let mut strings = Vec::with_capacity(plan.variables.len());
    let mut nul = Vec::new();
    for variable in &plan.variables {
        let value = match variable.origin {
            ValueOrigin::Local(index) => local.get(index).map(SecretValue::expose),
            ValueOrigin::Released(entry) => match file(entry) {
                Some(path) => Some(path.as_os_str().as_bytes()),
                None => released.get(entry).map(SecretValue::expose),
            },
            ValueOrigin::Reference { entry, .. } => released.get(entry).map(SecretValue::expose),
        };
        let value = value.ok_or_else(|| EnvironmentError::Incomplete(variable.name.clone()))?;
        match join(&variable.name, value) {
            Some(string) => strings.push(string),
            // All of them are collected, so that a person can repair every value at once.
            None => nul.push(variable.name.clone()),
        }
    }
    if nul.is_empty() { Ok(EnvironmentStrings(strings)) } else { Err(EnvironmentError::Nul(nul)) }
}

/// The strings of names with their values.
pub(crate) fn from_pairs(
    variables: &[(OsString, Zeroizing<Vec<u8>>)],
) -> Result<EnvironmentStrings, EnvironmentError> {
    let join = |(name, value): &(OsString, Zeroizing<Vec<u8>>)| join(name, value).ok_or_else(|| name.clone());
    let joined: Result<Vec<_>, _> = variables.iter().map(join).collect();
    joined.map(EnvironmentStrings).map_err(|name| EnvironmentError::Nul(vec![name]))
}

/// Checks that the kernel will accept it all. `stack` is the soft stack limit in bytes.
pub(crate) fn check_size(
    strings: &EnvironmentStrings,
    program: &Path,
    arguments: &[OsString],
    stack: u64,
) -> Result<(), EnvironmentError> {
    // execve(2) itself would only say E2BIG, after the use of the ticket is spent, and not which variable is too large.
    if let Some(index) = arguments.iter().position(|argument| argument.len() >= MAX_STRING) {
        return Err(EnvironmentError::ArgumentTooLong { index });
    }
    let mut sizes: Vec<(OsString, usize)> =
        strings.0.iter().map(|string| (name_of(string), string.0.as_bytes().len())).collect();
    sizes.sort_by(|(a, a_size), (b, b_size)| b_size.cmp(a_size).then_with(|| a.cmp(b)));
    let long: Vec<_> = sizes.iter().filter(|(_, size)| *size >= MAX_STRING).cloned().collect();
    if !long.is_empty() {
        return Err(EnvironmentError::TooLong(long));
    }
    // As bprm_stack_limits() in fs/exec.c counts: each string with its NUL, the program's path once more, and a pointer for each
    // string. An empty argv counts as one, since the kernel adds an empty string (Linux 5.18).
    let variables: usize = sizes.iter().map(|(_, size)| size + 1).sum();
    let rest: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
    let pointers = (arguments.len().max(1) + sizes.len()) * size_of::<*const u8>();
    let needed = variables + rest + program.as_os_str().len() + 1 + pointers;
    let limit = usize::try_from(stack / 4).unwrap_or(usize::MAX).clamp(MIN_TOTAL, MAX_TOTAL);
    if needed > limit {
        sizes.truncate(LARGEST);
        return Err(EnvironmentError::TooLarge { needed, limit, largest: sizes });
    }
    Ok(())
}

/// Returns `None` for a NUL byte, which would end the string early.
fn join(name: &OsStr, value: &[u8]) -> Option<EnvironmentString> {
    if name.as_bytes().contains(&0) || value.contains(&0) {
        return None;
    }
    // Room for the NUL too, which CString::new appends: a vector that grows leaves a copy of the secret behind.
    let mut string = Vec::with_capacity(name.len() + 1 + value.len() + 1);
    string.extend_from_slice(name.as_bytes());
    string.push(b'=');
    string.extend_from_slice(value);
    CString::new(string).ok().map(EnvironmentString)
}

fn name_of(string: &EnvironmentString) -> OsString {
    // The first byte belongs to the name even if it is `=`: some programs pass on names such as `=C:`.
    let bytes = string.0.as_bytes();
    let end = bytes.iter().skip(1).position(|byte| *byte == b'=').map_or(bytes.len(), |at| at + 1);
    OsStr::from_bytes(&bytes[..end]).to_owned()
}

fn list_names(names: &[OsString]) -> String {
    names.iter().map(|name| display_name(name)).collect::<Vec<_>>().join(", ")
}

fn list_sizes(sizes: &[(OsString, usize)]) -> String {
    let sizes = sizes.iter().map(|(name, size)| format!("{} ({size} bytes)", display_name(name)));
    sizes.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::environment_plan::PlannedVariable;
    use super::super::local_variables::Layer;
    use super::*;

    fn plan(names: &[&str]) -> EnvironmentPlan {
        let variables = names.iter().enumerate().map(|(index, name)| PlannedVariable {
            name: name.into(),
            layer: Layer::Environment,
            origin: ValueOrigin::Local(index),
            shadows: Vec::new(),
        });
        EnvironmentPlan { variables: variables.collect(), ..EnvironmentPlan::default() }
    }

    fn strings(variables: &[(&str, &[u8])]) -> Result<EnvironmentStrings, EnvironmentError> {
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
        assert_eq!(check_size(&fit, Path::new("/p"), &["p".into()], u64::MAX), Ok(()));
        let value = vec![b'x'; 131_071 - 1];
        let long = strings(&[("A", &value)]).unwrap();
        let error = check_size(&long, Path::new("/p"), &["p".into()], u64::MAX).unwrap_err();
        assert_eq!(error.to_string(), "longer than 131071 bytes, name and `=` included: A (131072 bytes)");
        let argument = OsString::from("x".repeat(131_072));
        let fit = strings(&[]).unwrap();
        let error = check_size(&fit, Path::new("/p"), &["p".into(), argument], u64::MAX).unwrap_err();
        assert_eq!(error, EnvironmentError::ArgumentTooLong { index: 1 });
    }

    #[test]
    fn the_whole_is_counted_as_the_kernel_counts() {
        // Two strings, "/p" and "p": 3 + 2 bytes, three pointers: 24, leaves 131072 - 29 for two strings with their NULs.
        let room = MIN_TOTAL - 29;
        let (a, b) = (vec![b'x'; room / 2 - 3], vec![b'x'; room - room / 2 - 3]);
        let whole = strings(&[("A", &a), ("B", &b)]).unwrap();
        assert_eq!(check_size(&whole, Path::new("/p"), &["p".into()], 0), Ok(()));
        let error = check_size(&whole, Path::new("/pp"), &["p".into()], 0).unwrap_err();
        let EnvironmentError::TooLarge { needed, limit, largest } = &error else { panic!("{error}") };
        assert_eq!((*needed, *limit), (MIN_TOTAL + 1, MIN_TOTAL));
        assert_eq!(largest[0].0, "B");
        assert!(!error.to_string().contains("xx"));
    }
}
