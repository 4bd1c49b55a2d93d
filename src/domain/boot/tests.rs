//! Which boots still hold a secret.

use super::*;
use crate::domain::id::VersionId;
use crate::domain::name::{EnvName, SecretName};
use crate::domain::resolve::ReleaseReason;
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind};

const SECRET: SecretId = SecretId::from_bytes([1; 16]);

fn boot(id: u8, machine: Option<&str>, kernel_boot: Option<&str>) -> Boot {
    let entry = ReceiptEntry {
        env: EnvName::parse("KEY").unwrap(),
        name: SecretName::parse("key").unwrap(),
        id: SECRET,
        scope: ScopeKind::Shared,
        version: VersionId::from_bytes([id; 16]),
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        by: ReleaseReason::Auto,
        shadows: Vec::new(),
    };
    Boot {
        id: BootId::from_bytes([id; 16]),
        org: OrgId::from_bytes([0; 16]),
        ticket: TicketId::from_bytes([0; 16]),
        member: (MemberId::from_bytes([0; 16]), MemberName::parse("dev").unwrap()),
        at: Timestamp::from_millis(i64::from(id)),
        source: None,
        machine: machine.map(str::to_owned),
        kernel_boot: kernel_boot.map(str::to_owned),
        host: None,
        agent: None,
        receipt: Receipt { entries: vec![entry], skipped: Vec::new(), revision: 0 },
        confirmed_at: None,
        state: BootState::Released,
    }
}

fn without_secret(boot: Boot) -> Boot {
    Boot { receipt: Receipt::default(), ..boot }
}

fn ids(boots: &[Boot]) -> Vec<u8> {
    holders(boots, SECRET).iter().map(|holding| holding.boot.id.as_bytes()[0]).collect()
}

#[test]
fn every_boot_that_received_it_holds_it() {
    let boots = [boot(2, Some("m"), Some("k")), boot(1, None, None), without_secret(boot(3, None, None))];
    assert_eq!(ids(&boots), [1, 2]);
    assert_eq!(holders(&boots, SECRET)[1].entry.version, VersionId::from_bytes([2; 16]));
    assert!(holders(&boots, SecretId::from_bytes([9; 16])).is_empty());
}

#[test]
fn a_new_kernel_of_the_same_machine_ends_a_boot() {
    let later = without_secret(boot(5, Some("m"), Some("k2")));
    assert!(ids(&[boot(1, Some("m"), Some("k1")), later.clone()]).is_empty());
    assert!(ids(&[later, boot(1, Some("m"), Some("k1"))]).is_empty());
}

#[test]
fn what_does_not_end_a_boot() {
    let first = || boot(3, Some("m"), Some("k1"));
    for (why, other) in [
        ("another workload on the same kernel", boot(5, Some("m"), Some("k1"))),
        ("another machine", boot(5, Some("n"), Some("k2"))),
        ("an earlier boot", boot(1, Some("m"), Some("k0"))),
        ("a boot that does not say its kernel", boot(5, Some("m"), None)),
        ("a boot that does not say its machine", boot(5, None, Some("k2"))),
        ("another organization", Boot { org: OrgId::from_bytes([8; 16]), ..boot(5, Some("m"), Some("k2")) }),
    ] {
        assert_eq!(ids(&[first(), without_secret(other)]), [3], "{why}");
    }
    assert_eq!(ids(&[boot(3, None, None), without_secret(boot(5, None, Some("k")))]), [3]);
}

#[test]
fn a_boot_that_failed_holds_nothing() {
    assert!(ids(&[Boot { state: BootState::Failed, ..boot(1, None, None) }]).is_empty());
    assert_eq!(ids(&[Boot { state: BootState::Confirmed, ..boot(1, None, None) }]), [1]);
}
