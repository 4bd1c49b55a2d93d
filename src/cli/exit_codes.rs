//! The exit codes of `dropsafe` in words.

/// The codes in words, for `--help` and the manual.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    not done: a name or value is refused, there is no such thing, or a check found a fault
  64   the command line cannot be understood
  66   a file that was given cannot be read
  69   the store cannot be reached, or cannot do its work now
  70   a defect in this program or in the store
  73   a file cannot be written
  75   the store is locked or busy, or something changed meanwhile: try again
  77   the store denied it, or is not the store that was expected
  78   an address, a token or a setting is missing or wrong
  dev with a command ends with the command's own status, 128+n for signal n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Exit;

    #[test]
    fn the_help_tells_every_code() {
        for exit in [
            Exit::Success,
            Exit::Failed,
            Exit::Usage,
            Exit::NoInput,
            Exit::Unreachable,
            Exit::Internal,
            Exit::CannotCreate,
            Exit::TryAgain,
            Exit::Denied,
            Exit::Configuration,
        ] {
            assert!(HELP.contains(&format!("\n  {:<4} ", exit.code())), "{exit:?}");
        }
    }
}
