//! Whole command lines and all that they print, one file each in `tests/cmd`.

/// Rewrite them with `TRYCMD=overwrite cargo test --test cli transcripts`, and read the difference.
#[test]
fn every_transcript_holds() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let cases = trycmd::TestCases::new();
    cases.env("HOME", home).env("XDG_CONFIG_HOME", home);
    for name in ["DROPSAFE_URL", "DROPSAFE_TOKEN", "DROPSAFE_CA", "DROPSAFE_DEPOSIT_KEY", "DROPSAFE_LOG"] {
        // Empty counts as absent: what the tests' own environment says of a store is not used.
        cases.env(name, "");
    }
    cases.case("tests/cmd/*.trycmd").case("tests/cmd/*.toml");
}
