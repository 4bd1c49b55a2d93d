//! Every command of README.md and docs/ runs, in order, a page at a time in a new folder, and prints what the page shows.
//!
//! - A `console` block holds commands behind `$ ` (continued behind `> `) and their output. `…` stands for any text, and a
//!   line that is `…` alone for any lines. Output that a page leaves out is not compared.
//! - An `sh` block is run as a whole.
//! - `<!-- not run: REASON -->` right before a block exempts it; `<!-- run` … `-->` holds commands that readers do not need.
//! - `cargo run --release --` means the program that the tests were built with.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Seconds that one page may take.
const LIMIT: u32 = 120;
/// Separates the output of commands. No program here prints it.
const MARK: char = '\u{1e}';

/// A command of a page, and the output that the page shows.
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

#[test]
fn every_command_of_every_page_runs() {
    let mut pages = vec![Path::new(ROOT).join("README.md")];
    let mut docs: Vec<PathBuf> = std::fs::read_dir(Path::new(ROOT).join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    docs.sort();
    pages.append(&mut docs);
    let mut faults = Vec::new();
    let mut ran = 0;
    for page in &pages {
        let steps = read(page, &mut faults);
        ran += steps.len();
        run(page, &steps, &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(ran >= 20, "only {ran} commands were found");
}

/// Links between the pages and to files lead somewhere.
#[test]
fn every_relative_link_leads_to_a_file() {
    let mut faults = Vec::new();
    for folder in ["", "docs"] {
        for entry in std::fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            let page = entry.unwrap().path();
            if page.extension().is_none_or(|end| end != "md") {
                continue;
            }
            let text = std::fs::read_to_string(&page).unwrap();
            for (at, _) in text.match_indices("](") {
                let target = text[at + 2..].split([')', '#', ' ']).next().unwrap();
                if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                if !page.parent().unwrap().join(target).exists() {
                    faults.push(format!("{}: {target}", page.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "links that lead nowhere:\n{}", faults.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let words =
        std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap().split_whitespace().count();
    println!("README.md has {words} words");
    assert!(words <= 1600, "README.md has {words} words; what is more belongs into docs/");
}

fn read(page: &Path, faults: &mut Vec<String>) -> Vec<Step> {
    let text = std::fs::read_to_string(page).unwrap();
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line)).peekable();
    let mut steps: Vec<Step> = Vec::new();
    let mut exempt = false;
    while let Some((number, line)) = lines.next() {
        if let Some(reason) = line.strip_prefix("<!-- not run:") {
            exempt = true;
            if reason.trim_end_matches("-->").trim().len() < 8 {
                faults.push(format!("{}:{number}: say why the block is not run", page.display()));
            }
        } else if line == "<!-- run" {
            let body: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "-->").collect();
            steps.push(Step { line: number, command: body.join("\n"), expected: Vec::new() });
        } else if let Some(kind) = line.trim_start().strip_prefix("```") {
            let body: Vec<(usize, &str)> =
                lines.by_ref().take_while(|(_, line)| line.trim_start() != "```").collect();
            match kind {
                _ if exempt => {}
                "sh" => {
                    let command: Vec<&str> = body.iter().map(|(_, line)| *line).collect();
                    steps.push(Step { line: number, command: command.join("\n"), expected: Vec::new() });
                }
                "console" => steps.append(&mut console(&body)),
                _ => {}
            }
            exempt = false;
        }
    }
    steps
}

fn console(body: &[(usize, &str)]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in body {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: *number, command: command.to_owned(), expected: Vec::new() });
        } else if let Some(step) = steps.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) if step.expected.is_empty() => {
                    let _ = write!(step.command, "\n{more}");
                }
                _ => step.expected.push((*line).to_owned()),
            }
        }
    }
    for step in &mut steps {
        while step.expected.last().is_some_and(String::is_empty) {
            step.expected.pop();
        }
    }
    steps
}

fn run(page: &Path, steps: &[Step], faults: &mut Vec<String>) {
    if steps.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    prepare(home);
    let mut script = String::from("trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n");
    for step in steps {
        let _ = writeln!(script, "{}\nprintf '\\036%s\\n' \"$?\"", step.command);
    }
    std::fs::write(home.join("page.sh"), script).unwrap();
    let output = Command::new("timeout")
        .args(["--kill-after=5", &LIMIT.to_string(), "bash", "--noprofile", "--norc", "-c"])
        .arg("exec 2>&1; . ./page.sh")
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", home.join("bin").display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rest = output.as_str();
    for step in steps {
        let place = format!("{}:{}: $ {}", page.display(), step.line, step.command);
        let Some((printed, after)) = rest.split_once(MARK) else {
            faults.push(format!("{place}\nthe page's shell ended here:\n{rest}"));
            return;
        };
        let (status, after) = after.split_once('\n').unwrap_or((after, ""));
        rest = after;
        let printed: Vec<&str> = printed.lines().collect();
        if status != "0" {
            faults.push(format!("{place}\nexits with {status}:\n{}", printed.join("\n")));
        } else if !step.expected.is_empty() && !matches(&step.expected, &printed) {
            let expected = step.expected.join("\n");
            faults.push(format!(
                "{place}\nthe page shows:\n{expected}\nbut it prints:\n{}",
                printed.join("\n")
            ));
        }
    }
}

/// The programs under their names, and the files of the repository that pages name.
fn prepare(home: &Path) {
    std::fs::create_dir(home.join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_dropsafe"), home.join("bin/dropsafe")).unwrap();
    symlink(env!("CARGO_BIN_EXE_dropsafe-agent"), home.join("bin/dropsafe-agent")).unwrap();
    let cargo = home.join("bin/cargo");
    let shim = "#!/bin/sh\ncase \"$1 $2 $3\" in 'run --release --') shift 3; exec dropsafe \"$@\";; esac\n\
                echo \"cargo $*: not replaced by the tests\" >&2; exit 1\n";
    std::fs::write(&cargo, shim).unwrap();
    let mut mode = std::fs::metadata(&cargo).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(&cargo, mode).unwrap();
    for name in ["examples", "init", "systemd"] {
        symlink(Path::new(ROOT).join(name), home.join(name)).unwrap();
    }
}

/// Whether what was printed is what the page shows.
fn matches(expected: &[String], printed: &[&str]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first.trim() == "…" => {
            matches(rest, printed) || printed.split_first().is_some_and(|(_, after)| matches(expected, after))
        }
        (Some((first, rest)), Some((line, after))) => line_matches(first, line) && matches(rest, after),
        _ => false,
    }
}

fn line_matches(expected: &str, printed: &str) -> bool {
    let (expected, mut rest) = (expected.trim_end(), printed.trim_end());
    let mut parts = expected.split('…');
    let Some(after) = parts.next().and_then(|first| rest.strip_prefix(first)) else { return false };
    rest = after;
    let parts: Vec<&str> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        if index + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}
