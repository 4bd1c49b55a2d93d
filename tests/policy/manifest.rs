//! The manifest explains itself.

#[test]
fn each_dependency_has_a_comment_on_its_purpose() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let mut within = false;
    let mut silent = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            within = matches!(line.trim(), "[dependencies]" | "[dev-dependencies]" | "[build-dependencies]");
        } else if within && line.contains('=') && !line.starts_with('#') && !line.contains(" # ") {
            silent.push(line.to_owned());
        }
    }
    assert!(silent.is_empty(), "say in one line what these are for:\n{}", silent.join("\n"));
}
