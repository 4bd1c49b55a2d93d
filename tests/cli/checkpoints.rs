//! Checkpoints of the audit log: a rollback is proven by two files, and no file can be forged or confused.

use std::fs;

use super::site::{Ran, Site};

impl Site {
    /// Writes a checkpoint file.
    fn checkpoint(&self, file: &str, flags: &[&str]) -> Ran {
        let arguments = [&["audit", "checkpoint"], flags].concat();
        let ran = self.as_operator(&arguments, b"");
        self.write(file, &ran.out);
        ran
    }

    /// Compares two files without a store.
    fn compare(&self, old: &str, new: &str, key: &str) -> Ran {
        self.saved(&["audit", "verify", "--checkpoint", old, "--with", new, "--key", key], b"")
    }

    fn verify(&self, old: &str) -> Ran {
        self.as_operator(&["audit", "verify", "--checkpoint", old], b"")
    }

    fn vkey(&self, file: &str) -> String {
        let text = fs::read_to_string(self.path(file)).unwrap();
        text.lines().nth(1).unwrap().strip_prefix("vkey ").unwrap().to_owned()
    }
}

#[test]
fn two_checkpoints_prove_that_a_store_was_rolled_back() {
    let mut site = Site::unlocked();
    site.set("1", &["one"]).ok();
    site.checkpoint("a", &[]).ok();
    let key = site.vkey("a");
    site.set("2", &["two"]).ok();
    site.checkpoint("b", &["--since", "a"]).ok();
    assert!(
        site.compare("a", "b", &key).ok().out.contains("checkpoint verified: the log continues all 2 chains")
    );
    site.verify("a").ok();
    // Without the proofs, nothing is claimed.
    site.checkpoint("c", &[]).ok();
    site.compare("a", "c", &key).fails(1, &["no proof", "--since a"]);

    site.stop();
    fs::copy(site.path("data/store.db"), site.path("copy.db")).unwrap();
    site.serve("data", &[]);
    site.set("3", &["three"]).ok();
    site.checkpoint("d", &["--since", "a"]).ok();
    assert!(site.compare("a", "d", &key).ok().out.contains("continued"));
    site.stop();

    // The attacker restores the copy, and removes what the server would notice it by.
    fs::copy(site.path("copy.db"), site.path("data/store.db")).unwrap();
    fs::remove_file(site.path("data/log-heads")).unwrap();
    site.serve("data", &[]);
    site.set("4", &["four"]).ok();
    assert!(site.run(&["audit", "verify"]).ok().out.contains("audit log verified"), "the log alone is whole");
    // What was true at the time of the copy stays true.
    site.verify("b").ok();
    site.verify("d").fails(1, &["rolled back", "1 of 3 chains", "is missing", "evidence"]);
    let proof = site.checkpoint("e", &["--since", "d"]).fails(1, &["rolled back"]);
    assert!(proof.out.starts_with("dropsafe checkpoint v1\n"), "the evidence is printed");
    site.stop();
    let found = site.compare("d", "e", &key).fails(1, &["rolled back", "do not continue d"]);
    assert!(found.rows().iter().any(|row| row.contains(&"missing")), "{}", found.out);
    let states = site
        .saved(&["audit", "verify", "--checkpoint", "d", "--with", "e", "--key", &key, "--json"], b"")
        .fails(1, &["rolled back"])
        .json();
    assert_eq!(states.as_array().unwrap().len(), 3);
}

#[test]
fn files_that_are_damaged_forged_or_of_another_store_are_refused() {
    let site = Site::unlocked();
    site.checkpoint("a", &[]).ok();
    site.set("1", &["one"]).ok();
    site.checkpoint("b", &["--since", "a"]).ok();
    let (key, text) = (site.vkey("a"), fs::read_to_string(site.path("b")).unwrap());
    for (content, says) in [
        ("", "line 1"),
        ("garbage\n", "first line of a checkpoint file"),
        (&text[..text.len() - 20], "ends too early"),
        (&text.replace('\n', "\r\n"), "line ends"),
        (&text.replace("/chains\n2\n", "/chains\n3\n"), "ends too early"),
        // Without the chain that a rollback has lost.
        (&text[..text.rfind("\nold ").unwrap()], "ends too early"),
        (
            &text[..text.rfind("\nold ").unwrap()].replace("/chains\n2\n", "/chains\n1\n"),
            "the list names other checkpoints",
        ),
    ] {
        site.write("x", content);
        for (old, new) in [("a", "x"), ("x", "b")] {
            site.compare(old, new, &key).fails(1, &["x: line", says, "unchanged"]);
        }
        site.verify("x").fails(1, &["x: line", says]);
    }
    // The second signature line: one bit of the signature.
    let forged = match text.strip_suffix("A=\n") {
        Some(start) => format!("{start}Q=\n"),
        None => format!("{}A{}", &text[..text.len() - 6], &text[text.len() - 5..]),
    };
    site.write("x", &forged);
    site.compare("a", "x", &key).fails(1, &["x: ", "the signature of ", "is wrong"]);
    site.compare("a", "none", &key).fails(66, &["none cannot be read"]);
    site.compare("a", "b", "key").fails(64, &["--key", "vkey"]);
    site.saved(&["audit", "verify", "--checkpoint", "a", "--with", "b"], b"").fails(64, &["--key"]);

    let other = Site::unlocked();
    other.checkpoint("o", &[]).ok();
    let others = other.vkey("o");
    site.compare("a", "b", &others).fails(1, &["is signed with the key", "its own key"]);
    fs::copy(other.path("o"), site.path("o")).unwrap();
    site.verify("o").fails(1, &["o is signed with the key"]);
    site.compare("a", "o", &key).fails(1, &["o is signed with the key"]);
    site.run_as(&site.member("bob", &[]), &["audit", "checkpoint"], b"").fails(77, &[]);
}
