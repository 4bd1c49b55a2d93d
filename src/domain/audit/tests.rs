//! The texts of the audit log are bounded, and events read back.

use std::net::IpAddr;

use super::*;
use crate::domain::name::{Label, SecretName};

#[test]
fn texts_are_bounded_and_come_from_names_and_numbers() {
    let name = SecretName::parse(&"a".repeat(200)).unwrap();
    assert_eq!(AuditText::from(&name).as_str().len(), MAX_TEXT);
    assert_eq!(AuditText::number(7).as_str(), "7");
    let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
    assert_eq!(AuditText::address(mapped).as_str(), "10.0.0.1");
    let label = Label::parse(&"ü".repeat(50)).unwrap();
    assert_eq!(AuditText::from(label).as_str().chars().count(), 50);
}

#[test]
fn a_reported_host_keeps_only_what_a_host_name_may_have() {
    assert_eq!(AuditText::reported_host("web-1.example\n{\"x\":1} \u{1b}[0m").as_str(), "web-1.examplex10m");
    assert_eq!(AuditText::reported_host(&"h".repeat(500)).as_str().len(), 64);
}

#[test]
fn an_event_round_trips_with_its_details_in_order() {
    let event = AuditEvent {
        at: Timestamp::from_millis(1_700_000_000_123),
        org: Some(OrgId::from_bytes([1; 16])),
        actor: Actor { kind: ActorKind::Nobody, name: None, id: None },
        action: AuditAction::SecretReEncrypt,
        target: None,
        outcome: Outcome::Denied,
        details: [(DetailKey::Uses, AuditText::number(1)), (DetailKey::Source, AuditText::word("here"))]
            .into(),
    };
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<AuditEvent>(&text).unwrap(), event);
    assert!(text.contains(r#""action":"secret.re_encrypt""#), "{text}");
    assert!(text.contains(r#""details":{"source":"here","uses":"1"}"#), "{text}");
    assert!(text.contains("2023-11-14T22:13:20.123Z"), "{text}");
}

#[test]
fn what_no_constructor_makes_is_not_read_back() {
    for bad in [format!("{:?}", "x".repeat(201)), "\"a\\nb\"".to_owned()] {
        assert!(serde_json::from_str::<AuditText>(&bad).is_err(), "{bad}");
    }
}

#[test]
fn every_word_reads_back_and_is_unique() {
    for action in AuditAction::ALL {
        assert_eq!(action.as_str().parse(), Ok(*action));
    }
    for key in DetailKey::ALL {
        assert_eq!(key.as_str().parse(), Ok(*key));
    }
}
