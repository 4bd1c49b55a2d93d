//! The example of a platform: one launcher, people who accept it, a machine for each, and the refusal after a withdrawal.

use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::{DROPSAFE, Ran, Site, agent_program, bare, skip};

#[test]
fn the_example_of_a_platform_runs_from_authorization_to_refusal() {
    if !Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        return skip("curl");
    }
    let site = Site::unlocked();
    let root = env!("CARGO_MANIFEST_DIR");
    let agent = agent_program();
    let programs =
        [Path::new(DROPSAFE), &agent].map(|program| program.parent().unwrap().display().to_string());
    let ran = Ran::of(
        bare("sh", site.folder.path())
            .arg(format!("{root}/examples/platform/platform.sh"))
            .arg("3")
            .env("PATH", format!("{}:/usr/bin:/bin", programs.join(":")))
            .env("DROPSAFE_URL", &site.url)
            .env("DROPSAFE_TOKEN", &site.admin)
            .env("DROPSAFE_CA", site.data().join("tls/ca.pem"))
            .output()
            .unwrap(),
    )
    .ok();
    let lines: Vec<&str> = ran.out.lines().collect();
    for expected in [
        "   a machine of person-1 has OPENAI_API_KEY: yes",
        // Nothing of one person reaches the machine of another.
        "   a machine of person-2 has OPENAI_API_KEY: ",
        "   a machine of person-3 has OPENAI_API_KEY: ",
        "person-1 via devboxes",
        "devboxes no longer acts for you; its tickets for you are revoked",
        "   refused: forbidden",
        "   the ticket that it kept: exit code of the agent not 0",
    ] {
        assert!(lines.contains(&expected), "{expected:?} is not in\n{}", ran.out);
    }
    // The machine that the platform reported as gone runs no more.
    assert!(ran.out.contains("no boots"), "{}", ran.out);
    // The log has neither the secret nor any credential.
    for text in [&ran.out, &ran.err, &site.log()] {
        assert!(!text.contains("sk-of-person-1") && !text.contains("dse_") && !text.contains("dsm_"));
    }
}
