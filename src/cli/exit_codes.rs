//! The exit codes of `dropsafe` in words. The numbers and their meanings are in `process::Exit`.

/// For `--help` and the manual.
pub(crate) const HELP: &str = "\
Exit codes:
  0    success
  1    a name or a value is refused, something does not exist, or a check failed
  64   invalid command line
  66   an input file cannot be read
  69   the store cannot be reached or is not ready
  70   internal error: a bug in dropsafe or in the store
  73   a file cannot be written
  75   temporary failure: the store is locked or busy, or a secret has changed; try again
  77   access denied, or not the expected store
  78   an address, a token or a setting is missing or invalid
  dev: with CMD, the exit code of CMD, or 128+n if signal n ended it";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Exit;

    #[test]
    fn the_help_lists_every_code() {
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
