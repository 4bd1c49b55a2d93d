//! The digest changes with every entry and with nothing else.

use super::*;

fn entry(env: &str, id: u8) -> ReceiptEntry {
    ReceiptEntry {
        env: EnvName::parse(env).unwrap(),
        name: SecretName::parse(env).unwrap(),
        id: SecretId::from_bytes([id; 16]),
        scope: ScopeKind::Shared,
        version: VersionId::from_bytes([id; 16]),
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        by: ReleaseReason::Auto,
        shadows: Vec::new(),
    }
}

fn receipt(entries: Vec<ReceiptEntry>) -> Receipt {
    Receipt { entries, skipped: Vec::new(), revision: 7 }
}

fn chosen(env: &str, id: u8, by: ReleaseReason) -> Chosen {
    let entry = entry(env, id);
    Chosen {
        id: entry.id,
        name: entry.name,
        env: entry.env,
        scope_kind: entry.scope,
        version: entry.version,
        kind: entry.kind,
        delivery: entry.delivery,
        shadows: Vec::new(),
        by,
    }
}

#[test]
fn the_digest_differs_when_any_entry_differs() {
    let whole = receipt(vec![entry("A", 1), entry("B", 2)]);
    let other = |change: &dyn Fn(&mut ReceiptEntry)| {
        let mut changed = whole.clone();
        change(&mut changed.entries[1]);
        changed.digest()
    };
    let digests = [
        whole.digest(),
        other(&|entry| entry.env = EnvName::parse("C").unwrap()),
        other(&|entry| entry.id = SecretId::from_bytes([3; 16])),
        other(&|entry| entry.version = VersionId::from_bytes([3; 16])),
        other(&|entry| entry.scope = ScopeKind::Private),
        other(&|entry| entry.delivery = Delivery::File),
        other(&|entry| entry.by = ReleaseReason::Included),
        receipt(vec![entry("A", 1)]).digest(),
        receipt(vec![entry("B", 2)]).digest(),
        receipt(vec![entry("A", 1), entry("B", 2), entry("B", 2)]).digest(),
        receipt(vec![]).digest(),
        receipt(vec![entry("AB", 1)]).digest(),
    ];
    let distinct: BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn the_digest_does_not_depend_on_order_or_on_what_was_skipped() {
    let mut forward = receipt(vec![entry("A", 1), entry("B", 2)]);
    let backward = receipt(vec![entry("B", 2), entry("A", 1)]);
    assert_eq!(forward.digest(), backward.digest());
    forward.revision = 8;
    assert_eq!(forward.digest(), backward.digest());
}

#[test]
fn the_digest_is_what_older_agents_compute() {
    // Computed by another program from the documentation of `Receipt::digest`.
    let digest = receipt(vec![entry("A", 1)]).digest().to_string();
    assert_eq!(digest, "103081d05a9270137d8e40ff718053aa2a27f315e5c9a561b821253937ba799d");
}

#[test]
fn a_receipt_lists_each_released_secret_once() {
    let mut resolution = Resolution::default();
    resolution.variables.insert(EnvName::parse("B").unwrap(), chosen("B", 2, ReleaseReason::Auto));
    for (asked, found) in [
        ("b", Some(chosen("B", 2, ReleaseReason::Reference))),
        ("a", Some(chosen("A", 1, ReleaseReason::Reference))),
        ("A", Some(chosen("A", 1, ReleaseReason::Reference))),
        ("none", None),
    ] {
        resolution.references.insert(asked.to_owned(), found);
    }
    let receipt = Receipt::of(resolution, 42);
    let entries: Vec<_> = receipt.entries.iter().map(|entry| format!("{}:{}", entry.env, entry.by)).collect();
    assert_eq!(entries, ["A:reference", "B:auto"]);
    assert_eq!((receipt.count(), receipt.revision), (2, 42));
}

#[test]
fn a_digest_reads_back_and_refuses_the_rest() {
    let digest = receipt(vec![]).digest();
    assert_eq!(digest.to_string().parse(), Ok(digest));
    for bad in
        ["", "00", &digest.to_string().to_uppercase(), &digest.to_string()[1..], &format!("{digest}00")]
    {
        assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
    }
}
