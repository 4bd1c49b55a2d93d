//! Golden vectors: the bytes of every stored struct, in `tests/vectors/records.json`.
//!
//! A store that people use holds these bytes. So a stored struct never changes: what a record gains is a new format of it, in a
//! stored struct of its own beside the old one, with vectors of its own.

mod audit;
mod people;

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_bytes::ByteBuf;

use crate::domain::attributes::Attributes;
use crate::domain::id::{MemberId, OrgId, SecretId};
use crate::domain::role::OrgPolicy;
use crate::domain::secret::Scope;
use crate::store::engine::format::{Record, StoredField, decode, encode, to_bytes};
use crate::store::tables::ALL;
use crate::store::tables::answers::*;
use crate::store::tables::boots::*;
use crate::store::tables::catalog::*;
use crate::store::tables::enrolments::*;
use crate::store::tables::executed::*;
use crate::store::tables::holders::*;
use crate::store::tables::launchers::*;
use crate::store::tables::members::*;
use crate::store::tables::orgs::*;
use crate::store::tables::scope_stamps::*;
use crate::store::tables::secrets::*;
use crate::store::tables::sessions::*;
use crate::store::tables::store::*;
use crate::store::tables::tickets::*;
use crate::store::tables::tokens::*;
use crate::store::tables::usage::*;

/// Hexadecimal vectors by record and format.
type Vectors = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// The vectors that samples were compared with, and what is wrong.
struct Comparison {
    golden: Vectors,
    found: Vectors,
    faults: Vec<String>,
}

impl Comparison {
    /// Compares samples of one format of a record. Those that are of an older format, or hold one, must be read as `upgraded`, in
    /// the same order; the others as what they are.
    fn format<R: Record, S: StoredField + serde::Serialize>(
        &mut self,
        name: &str,
        format: u8,
        samples: &[S],
        upgraded: &[Vec<u8>],
    ) {
        let newest = R::FORMATS.last() == Some(&format);
        for (index, sample) in samples.iter().enumerate() {
            let bytes = to_bytes(format, sample).unwrap();
            let text = HEXLOWER.encode(&bytes);
            let golden = self.golden.get(name).and_then(|formats| formats.get(&format.to_string()));
            match golden.and_then(|samples| samples.get(index)) {
                Some(golden) if *golden == text => {}
                Some(golden) => self.faults.push(format!(
                    "{name}: format {format} has changed. Stores hold records of it, which this program could no longer \
                     read. Put its stored struct back as it was, and add format {} beside it: see \"Change what is \
                     stored\" in CONTRIBUTING.md.\n  before {golden}\n  now    {text}",
                    R::FORMATS.last().unwrap() + 1,
                )),
                None => self.faults.push(format!("{name}: add this vector of format {format}: {text}")),
            }
            let formats = self.found.entry(name.to_owned()).or_default();
            formats.entry(format.to_string()).or_default().push(text);
            let expected = upgraded.get(index).or(newest.then_some(&bytes));
            match decode::<R>(&bytes).and_then(|record| encode(&record)) {
                Ok(written) if Some(&written) == expected => {}
                Ok(written) => {
                    let written = HEXLOWER.encode(&written);
                    self.faults.push(format!("{name}: format {format} reads as another record: {written}"));
                }
                Err(failure) => self.faults.push(format!("{name}: format {format} does not read: {failure}")),
            }
        }
    }

    /// Compares samples of the only format of a record.
    fn only<R: Record, S: StoredField + serde::Serialize>(&mut self, name: &str, samples: &[S]) {
        assert_eq!(R::FORMATS, [1], "{name} has other formats too");
        self.format::<R, S>(name, 1, samples, &[]);
    }
}

#[test]
fn every_stored_struct_is_as_its_golden_vector() {
    let golden = serde_json::from_str(include_str!("../../../../tests/vectors/records.json")).unwrap();
    let mut comparison = Comparison { golden, found: Vectors::new(), faults: Vec::new() };
    secrets(&mut comparison);
    people::people(&mut comparison);
    boots(&mut comparison);
    keys(&mut comparison);
    audit::audit(&mut comparison);
    if comparison.faults.is_empty() && comparison.found != comparison.golden {
        comparison.faults.push("records.json has vectors that no sample stands for".to_owned());
    }
    assert!(comparison.faults.is_empty(), "{}", comparison.faults.join("\n"));
}

#[expect(clippy::disallowed_methods, reason = "reads the source")]
#[test]
fn every_table_is_listed_and_no_two_have_the_same_letter() {
    let letters: std::collections::BTreeSet<u8> = ALL.iter().map(|table| table.letter).collect();
    assert_eq!(letters.len(), ALL.len());
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let files = ["tables", "engine/audit"].map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let texts =
        files.into_iter().flatten().filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
    let defined: usize = texts.map(|text| text.matches("Table = Table::new(b'").count()).sum();
    assert_eq!(defined, ALL.len(), "add the new table to the list of all");
}

/// A record of a newer program is distinguished from a damaged one, and bytes that are left over are an error.
#[test]
fn what_cannot_be_read_is_newer_or_damaged() {
    let sample = to_bytes(1, &[7_u8; 16]).unwrap();
    let failure = |bytes: &[u8]| decode::<SecretId>(bytes).unwrap_err().to_string();
    assert!(decode::<SecretId>(&sample).is_ok());
    let (mut newer, mut older, longer) = (sample.clone(), sample.clone(), [&sample[..], &[0]].concat());
    (newer[0], older[0]) = (2, 0);
    assert_ne!(failure(&newer), failure(&older));
    assert_eq!(failure(&longer), failure(&older));
    assert_eq!(failure(&sample[..9]), failure(&older));
    assert_eq!(failure(&[]), failure(&older));
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn bytes(byte: u8, len: usize) -> ByteBuf {
    ByteBuf::from(vec![byte; len])
}

fn attributes_1() -> [StoredAttributesV1; 2] {
    [
        StoredAttributesV1 { auto_install: true, plugin: None, category: None },
        StoredAttributesV1 { auto_install: false, plugin: some("stripe"), category: some("payments") },
    ]
}

/// The first two are those of format 1.
fn attributes_2() -> [StoredAttributesV2; 3] {
    let with = |description| StoredAttributesV2 {
        auto_install: false,
        plugin: some("stripe"),
        category: some("payments"),
        description,
    };
    let default = StoredAttributesV2 { auto_install: true, plugin: None, category: None, description: None };
    [default, with(None), with(some("Live key of the shop"))]
}

fn encoded<S: StoredField + serde::Serialize>(format: u8, samples: &[S]) -> Vec<Vec<u8>> {
    samples.iter().map(|sample| to_bytes(format, sample).unwrap()).collect()
}

fn meta(attributes: &[u8]) -> StoredSecretMetaV1 {
    StoredSecretMetaV1 {
        id: [1; 16],
        name: text("stripe-key"),
        env: text("STRIPE_KEY"),
        scope: Some([2; 16]),
        kind: text("encrypted"),
        delivery: text("file"),
        attributes: ByteBuf::from(attributes),
        version: [3; 16],
        hint: some("sk-****...wxyz"),
        allow_refused: true,
        value_len: 32,
        created_at: 1_800_000_000_000,
        updated_at: 1_800_000_000_001,
        author: [4; 16],
    }
}

fn secrets(comparison: &mut Comparison) {
    let attributes = encoded(2, &attributes_2());
    comparison.format::<Attributes, _>("Attributes", 1, &attributes_1(), &attributes);
    comparison.format::<Attributes, _>("Attributes", 2, &attributes_2(), &[]);
    // A record that holds another one in an older format is read as it holds the newest.
    let (before, after) = (&encoded(1, &attributes_1())[1], &attributes[1]);
    let secret = |attributes, value| StoredSecretV1 { org: [5; 16], meta: meta(attributes), value };
    let sealed = |wrapped, ciphertext| StoredSecretValueV1::Sealed {
        generation: 2,
        nonce: [6; 24],
        wrapped,
        ciphertext,
    };
    let secrets = |attributes| {
        let hpke = StoredWrappedKeyV1::Hpke { suite: 32, enc: bytes(7, 32), ct: bytes(8, 48) };
        let settled = StoredWrappedKeyV1::Settled { nonce: [9; 24], ct: bytes(10, 48) };
        [
            secret(attributes, StoredSecretValueV1::Plain(StoredBodyV1::Here(bytes(b'p', 3)))),
            secret(attributes, sealed(hpke, StoredBodyV1::Here(bytes(11, 20)))),
            secret(attributes, sealed(settled, StoredBodyV1::Apart([12; 16]))),
        ]
    };
    let samples: Vec<_> = secrets(before).into_iter().chain(secrets(after)).collect();
    let upgraded = encoded(1, &secrets(after));
    comparison.format::<SecretRecord, _>("SecretRecord", 1, &samples, &upgraded);
    comparison.only::<SecretId, _>("SecretId", &[[1_u8; 16]]);
    comparison.only::<Scope, _>("Scope", &[None, Some([2_u8; 16])]);
    comparison.only::<BodyRecord, _>("BodyRecord", &[StoredLongValueV1 { bytes: bytes(13, 9) }]);
    comparison.only::<Unsettled, _>("Unsettled", &[StoredUnsettledV1 {}]);
    let second = |version, count, sum| StoredScopeStampV2 { version, count, sum };
    let upgraded = encoded(2, &[second(0, 0, [0; 32])]);
    comparison.format::<ScopeStamp, _>("ScopeStamp", 1, &[StoredScopeStampV1 {}], &upgraded);
    comparison.format::<ScopeStamp, _>("ScopeStamp", 2, &[second(3, 2, [5; 32])], &[]);
    let mark = |generation| StoredUnusableMarkV1 { secret: bytes(1, 33), version: [3; 16], generation };
    comparison.only::<UnusableMark, _>("UnusableMark", &[mark(Some(2)), mark(None)]);
    comparison.only::<Usage, _>("Usage", &[StoredUsageV1 { secrets: 3, variables: 400, files: 4096 }]);
    comparison.only::<RecordCount, _>("RecordCount", &[StoredRecordCountV1 { count: 300 }]);
    let retired = [None, Some(1_800_000_000_000)].map(|at| StoredRetiredVersionV2 { at });
    let upgraded = encoded(2, &retired[..1]);
    comparison.format::<RetiredVersion, _>("RetiredVersion", 1, &[StoredRetiredVersionV1 {}], &upgraded);
    comparison.format::<RetiredVersion, _>("RetiredVersion", 2, &retired, &[]);
    let answer = |attributes| StoredDepositAnswerV1 {
        meta: meta(attributes),
        generation: Some(2),
        warnings: vec![
            StoredWarningV1::TrailingNewline,
            StoredWarningV1::Empty,
            StoredWarningV1::UnusualForm(text("sk_…")),
            StoredWarningV1::LooksLikeKey,
        ],
    };
    let upgraded = encoded(1, &[answer(after)]);
    let samples = [answer(before), answer(after)];
    comparison.format::<DepositAnswer, _>("DepositAnswer", 1, &samples, &upgraded);
    let older = StoredAnswerV1 {
        at: 1_800_000_000_000,
        request: [1; 16],
        value: Some(([2; 16], [3; 16])),
        answer: Some(bytes(4, 5)),
    };
    let answer = |request| StoredAnswerV2 { at: 1_800_000_000_000, request, answer: Some(bytes(4, 5)) };
    let upgraded = encoded(2, &[answer(None)]);
    comparison.format::<AnswerRecord, _>("AnswerRecord", 1, &[older], &upgraded);
    comparison.format::<AnswerRecord, _>("AnswerRecord", 2, &[answer(Some([1; 32])), answer(None)], &[]);
    comparison.only::<PluginRecord, _>(
        "PluginRecord",
        &[StoredPluginV1 {
            name: text("stripe"),
            title: some("Stripe"),
            required: vec![text("stripe-key")],
            optional: vec![text("stripe-webhook")],
            enabled: true,
            updated_at: 1_800_000_000_000,
        }],
    );
    comparison.only::<PluginsRecord, _>(
        "PluginsRecord",
        &[StoredPluginListV1 { enabled: vec![(text("mail"), false), (text("stripe"), true)] }],
    );
    let category = StoredCategoryV1 {
        title: text("Payments"),
        colour: text("green"),
        description: text("What takes money"),
    };
    comparison.only::<CategoriesRecord, _>(
        "CategoriesRecord",
        &[StoredCategoriesV1 { forms: vec![(text("payments"), category)] }],
    );
}

fn boots(comparison: &mut Comparison) {
    let older = StoredBootV1 {
        id: [1; 16],
        ticket: [2; 16],
        member: ([3; 16], text("alice")),
        at: 1_800_000_000_000,
        source: some("192.0.2.1"),
        machine: some("machine"),
        kernel_boot: some("boot"),
        host: some("host"),
        agent: some("1.0.0"),
        content: [4; 32],
        revision: 5,
        digest: [6; 32],
        confirmed_at: Some(1_800_000_000_001),
        variables: Some(7),
        state: text("confirmed"),
    };
    let boot = || StoredBootV2 {
        id: [1; 16],
        ticket: [2; 16],
        member: ([3; 16], text("alice")),
        at: 1_800_000_000_000,
        source: some("192.0.2.1"),
        machine: some("machine"),
        kernel_boot: some("boot"),
        host: some("host"),
        agent: some("1.0.0"),
        content: [4; 32],
        revision: 5,
        digest: [6; 32],
        confirmed_at: Some(1_800_000_000_001),
        variables: Some(7),
        state: text("confirmed"),
        earlier: vec![],
        author: None,
        workload: None,
        reports_end: false,
        lifetime_ends_at: None,
        end: None,
    };
    let ended = StoredBootV2 {
        earlier: vec![([8; 32], [9; 32])],
        author: Some([10; 16]),
        workload: some("web"),
        reports_end: true,
        lifetime_ends_at: Some(1_800_000_003_600),
        end: Some(StoredBootEndV1 { at: 1_800_000_000_002, source: text("agent"), status: Some(1) }),
        ..boot()
    };
    comparison.format::<BootRecord, _>("BootRecord", 1, &[older], &encoded(2, &[boot()]));
    comparison.format::<BootRecord, _>("BootRecord", 2, &[boot(), ended], &[]);
    comparison.only::<ExecutedRecord, _>("ExecutedRecord", &[StoredExecutedV1 { until: 1_800_000_000_000 }]);
    let shadowed = StoredShadowedV1 {
        id: [1; 16],
        name: text("stripe-key"),
        scope_kind: text("shared"),
        version: [2; 16],
    };
    let entry = StoredReceiptEntryV1 {
        env: text("STRIPE_KEY"),
        name: text("stripe-key"),
        id: [3; 16],
        scope: text("private"),
        version: [4; 16],
        kind: text("encrypted"),
        delivery: text("variable"),
        by: text("auto"),
        shadows: vec![shadowed],
    };
    let skipped = StoredSkippedV1 {
        id: [5; 16],
        name: text("other"),
        env: text("OTHER"),
        scope_kind: text("shared"),
        version: [6; 16],
        reason: text("auto_install_off"),
    };
    comparison.only::<ReceiptRecord, _>(
        "ReceiptRecord",
        &[StoredReceiptV1 { entries: vec![entry], skipped: vec![skipped] }],
    );
    let attempt = |boot, request, tries| StoredAttemptV2 { at: 1_800_000_000_000, boot, request, tries };
    let older = [StoredAttemptV1 { at: 1_800_000_000_000 }];
    let upgraded = encoded(2, &[attempt(None, [0; 16], 1)]);
    comparison.format::<AttemptRecord, _>("AttemptRecord", 1, &older, &upgraded);
    let running = |lifetime_ends_at, yes| StoredRunningV1 {
        member: [1; 16],
        lifetime_ends_at,
        reports_end: yes,
        several: yes,
    };
    let rows = [running(None, false), running(Some(1_800_000_000_000), true)];
    comparison.only::<RunningRecord, _>("RunningRecord", &rows);
    let indexing = |cursor, done| StoredIndexingV1 { cursor, done };
    let progress = [indexing(Some(bytes(1, 33)), false), indexing(None, true)];
    comparison.only::<IndexingRecord, _>("IndexingRecord", &progress);
    comparison.format::<AttemptRecord, _>("AttemptRecord", 2, &[attempt(Some([1; 16]), [2; 16], 5)], &[]);
}

fn keys(comparison: &mut Comparison) {
    let older = [StoredIdentityV1 { id: [1; 16], created_at: 1_800_000_000_000, revision_base: 2 }];
    let identity = |epoch, is_restoring| StoredIdentityV2 {
        id: [1; 16],
        created_at: 1_800_000_000_000,
        revision_base: 2,
        epoch,
        is_restoring,
    };
    let upgraded = encoded(2, &[identity(None, false)]);
    comparison.format::<Identity, _>("Identity", 1, &older, &upgraded);
    let restored = [identity(some("aebagbh2"), true), identity(None, false)];
    comparison.format::<Identity, _>("Identity", 2, &restored, &[]);
    let slot = |kind| StoredSlotV1 {
        id: [1; 16],
        kind,
        salt: [2; 16],
        ring: [3; 32],
        suite: 32,
        public: [4; 32],
        commitment: [5; 32],
        enc: bytes(6, 32),
        ct: bytes(7, 48),
    };
    let ring = || StoredRingV1 {
        identity: [8; 32],
        current: (2, [9; 32]),
        older: vec![(1, [10; 32])],
        nonce: [11; 24],
        ciphertext: bytes(12, 100),
    };
    let slots = || {
        let argon2 = StoredArgon2V1 { memory_kib: 262_144, passes: 3, lanes: 4 };
        let other = |id, kind| StoredSlotV1 { id: [id; 16], ..slot(kind) };
        let passphrase = slot(StoredSlotKindV1::Passphrase(argon2));
        vec![passphrase, other(13, StoredSlotKindV1::KeyFile), other(14, StoredSlotKindV1::Credential)]
    };
    let about = || {
        let (label, created_at) = (some("passphrase"), 1_800_000_000_000);
        vec![StoredSlotNoteV1 { id: [1; 16], label, created_at }]
    };
    let generation = |number, endorsement| StoredGenerationV1 {
        deposit: (number, [9; 32]),
        signing: [13; 32],
        endorsement,
    };
    let chained = |chain| StoredKeysV2 { slots: slots(), about: about(), ring: ring(), chain };
    let answering =
        |chain, answer| StoredKeysV3 { slots: slots(), about: about(), ring: ring(), chain, answer };
    let older = StoredKeysV1 { slots: slots(), about: about(), ring: ring() };
    let chain = || vec![generation(1, None), generation(2, Some(bytes(14, 64)))];
    let upgraded = [answering(vec![], None), answering(chain(), None)];
    comparison.format::<KeysRecord, _>("KeysRecord", 1, &[older], &encoded(3, &upgraded[..1]));
    let second = [chained(vec![]), chained(chain())];
    comparison.format::<KeysRecord, _>("KeysRecord", 2, &second, &encoded(3, &upgraded));
    let newest = [answering(vec![], None), answering(chain(), Some([15; 32]))];
    comparison.format::<KeysRecord, _>("KeysRecord", 3, &newest, &[]);
    let (cursor, runner) = (Some(bytes(1, 33)), Some(([5; 16], 1_800_000_000_000)));
    let run = |left, damaged, kept, ended| StoredRunV2 {
        generation: 2,
        cursor: Some(bytes(1, 33)),
        done: 3,
        total: Some(4),
        again: true,
        runner,
        left,
        damaged,
        kept,
        ended,
    };
    let runs = [run(0, 0, vec![], false), run(2, 1, vec![1, 4], true)];
    let older = StoredRunV1 { generation: 2, cursor, done: 3, total: Some(4), again: true, runner };
    comparison.format::<RunRecord, _>("RunRecord", 1, &[older], &encoded(2, &runs[..1]));
    comparison.format::<RunRecord, _>("RunRecord", 2, &runs, &[]);
}
