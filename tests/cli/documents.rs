//! Completions and manual pages of both programs, from the definitions that they parse with.

use std::process::Command;

use super::site::{Ran, bare, feed};

#[test]
fn every_shell_gets_a_script_for_each_program() {
    let home = tempfile::tempdir().unwrap();
    for program in ["dropsafe", "dropsafe-agent"] {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let mut command = bare(&home);
            command.args(["completions", shell, "--program", program]);
            let script = Ran::of(feed(command, b"")).ok().out;
            assert!(script.contains(program) && script.lines().count() > 20, "{shell} {program}");
            if shell == "bash" {
                let mut check = Command::new("bash");
                check.arg("-n");
                let checked = Ran::of(feed(check, script.as_bytes())).ok();
                assert_eq!(checked.err, "");
            }
        }
    }
}

#[test]
fn every_command_has_a_page() {
    let home = tempfile::tempdir().unwrap();
    let mut command = bare(&home);
    command.args(["man", "."]);
    Ran::of(feed(command, b"")).ok();
    for page in [
        "dropsafe",
        "dropsafe-set",
        "dropsafe-keyslot-add",
        "dropsafe-audit-verify",
        "dropsafe-agent",
        "dropsafe-agent-exec",
    ] {
        let text = std::fs::read_to_string(home.path().join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(&page.replace('-', "\\-")), "{page}");
    }
    // The codes that scripts rely on are in the manual.
    let text = std::fs::read_to_string(home.path().join("dropsafe.1")).unwrap();
    assert!(text.contains("Exit codes:") && text.contains("DROPSAFE_DEPOSIT_KEY"), "{text}");

    let mut missing = bare(&home);
    missing.args(["man", "no/such/folder"]);
    Ran::of(feed(missing, b"")).fails(73, &["cannot be written"]);
}
