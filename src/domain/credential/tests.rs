//! Credentials and tickets read back; every other text is refused with its own error.

use proptest::prelude::*;

use super::*;
use crate::domain::ticket::{TicketError, TicketPartsError};

const KINDS: [CredentialKind; 3] = [CredentialKind::Operator, CredentialKind::Member, CredentialKind::Ticket];

fn credential(kind: CredentialKind) -> Credential {
    Credential::new(kind, [7; 16], Zeroizing::new([0xa5; 32]))
}

fn ticket(urls: &[&str], pinned: bool) -> BootTicket {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    BootTicket::new(urls, pinned.then_some(Pin([3; 32])), credential(CredentialKind::Ticket)).unwrap()
}

fn body_of(text: &str) -> Vec<u8> {
    decode(&text[4..]).unwrap().to_vec()
}

#[test]
fn credentials_read_back() {
    for kind in KINDS {
        let text = credential(kind).to_text();
        assert_eq!(text.len(), 4 + 85);
        assert!(text.starts_with(kind.prefix()));
        let read = Credential::parse(&text).unwrap();
        assert_eq!((read.kind, read.id), (kind, [7; 16]));
        assert_eq!(read.hash(), credential(kind).hash());
        assert!(read.matches(&read.hash()));
        assert!(!read.matches(&[0; 32]));
    }
}

#[test]
fn the_hash_depends_on_kind_id_and_secret() {
    let mut hashes: Vec<_> = KINDS.map(|kind| credential(kind).hash()).into();
    hashes.push(Credential::new(CredentialKind::Member, [8; 16], Zeroizing::new([0xa5; 32])).hash());
    hashes.push(Credential::new(CredentialKind::Member, [7; 16], Zeroizing::new([0xa6; 32])).hash());
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 5);
}

#[test]
fn each_fault_of_a_credential_has_its_own_error() {
    let text = credential(CredentialKind::Member).to_text();
    for (fault, expected) in [
        (String::new(), CredentialError::Prefix),
        ("hunter2".to_owned(), CredentialError::Prefix),
        (format!(" {}", *text), CredentialError::Prefix),
        (ticket(&["https://a"], false).to_text().to_string(), CredentialError::IsTicket),
        (text[..text.len() - 1].to_owned(), CredentialError::Truncated),
        ("dsm_".to_owned(), CredentialError::Truncated),
        (format!("{}\n", *text), CredentialError::TooLong),
        (text.replacen("dsm_", "dso_", 1), CredentialError::Mistyped),
        (text.to_uppercase().replacen("DSM_", "dsm_", 1), CredentialError::Mistyped),
    ] {
        assert_eq!(Credential::parse(&fault).unwrap_err(), expected);
    }
    let mut content = Zeroizing::new(vec![2]);
    credential(CredentialKind::Member).write_parts(&mut content);
    assert_eq!(Credential::parse(&encode("dsm_", content)).unwrap_err(), CredentialError::Version);
}

#[test]
fn tickets_read_back() {
    for (urls, pinned) in [
        (&["https://store.example:7373"][..], true),
        (&["http://127.0.0.1:7373"], false),
        (&["https://a:1", "https://b:2", "unix:/run/dropsafe.sock"], true),
        (&["a", "b", "c", "d", "e", "f", "g", "h"], false),
    ] {
        let text = ticket(urls, pinned).to_text();
        assert!(text.starts_with("dst_"));
        let read = BootTicket::parse(&text).unwrap();
        assert_eq!(read.urls(), urls);
        assert_eq!(read.pin(), pinned.then_some(Pin([3; 32])));
        assert_eq!(read.credential().id, [7; 16]);
        assert_eq!(read.credential().hash(), credential(CredentialKind::Ticket).hash());
        assert_eq!(*read.to_text(), *text);
    }
}

#[test]
fn a_ticket_is_made_of_what_it_can_carry() {
    let make = |urls: Vec<String>, kind| BootTicket::new(urls, None, credential(kind)).map(|_| ());
    let kind = CredentialKind::Ticket;
    assert_eq!(make(vec![], kind), Err(TicketPartsError::UrlCount));
    assert_eq!(make(vec!["a".to_owned(); 9], kind), Err(TicketPartsError::UrlCount));
    for url in ["", "a b", "a\n", "ä", &"a".repeat(513)] {
        assert_eq!(make(vec![url.to_owned()], kind), Err(TicketPartsError::Url));
    }
    assert_eq!(make(vec!["a".to_owned()], CredentialKind::Member), Err(TicketPartsError::Kind));
    assert_eq!(make(vec!["a".repeat(512); 8], kind), Ok(()));
}

#[test]
fn each_fault_of_a_ticket_has_its_own_error() {
    let text = ticket(&["https://store.example:7373"], true).to_text();
    let error = |text: &str| BootTicket::parse(text).unwrap_err();
    assert_eq!(error(""), TicketError::Prefix);
    assert_eq!(error("ticket"), TicketError::Prefix);
    assert_eq!(error(&credential(CredentialKind::Ticket).to_text()), TicketError::IsToken);
    assert_eq!(error("dst_"), TicketError::Truncated);
    assert_eq!(error(&text.to_uppercase().replacen("DST_", "dst_", 1)), TicketError::Mistyped);
    assert_eq!(error(&format!("{}\n", *text)), TicketError::Mistyped);
    let mut later = Zeroizing::new(body_of(&text));
    let content = later.len() - CHECKSUM;
    later.truncate(content);
    later[0] = 2;
    assert_eq!(error(&encode("dst_", later)), TicketError::Version);
}

#[test]
fn every_truncation_of_a_ticket_is_told_as_one() {
    for urls in [&["https://store.example:7373"][..], &["u"], &["https://a:1", "https://bb:2"]] {
        let text = ticket(urls, true).to_text();
        for len in 4..text.len() {
            assert_eq!(
                BootTicket::parse(&text[..len]).unwrap_err(),
                TicketError::Truncated,
                "{len} of {}",
                text.len()
            );
        }
    }
}

#[test]
fn debug_shows_nothing() {
    let shown =
        format!("{:?} {:?}", credential(CredentialKind::Member), ticket(&["https://store.example"], true));
    assert_eq!(shown, "Credential(member, [redacted]) BootTicket([redacted])");
}

#[test]
fn a_pin_reads_back() {
    let pin = Pin([0xff; 32]);
    assert_eq!(pin.to_string().len(), 7 + 43);
    assert_eq!(pin.to_string().parse(), Ok(pin));
    for bad in [
        "",
        "sha256/",
        "sha1/x",
        &pin.to_string()[..49],
        &format!("{pin}="),
        &pin.to_string().replace('_', "/"),
    ] {
        assert!(bad.parse::<Pin>().is_err(), "{bad:?}");
    }
}

fn different(alphabet: &'static str, not: char) -> impl Strategy<Value = char> {
    let others: Vec<char> = alphabet.chars().filter(|c| *c != not).collect();
    prop::sample::select(others)
}

const PRINTABLE: &str = "abcdefghijklmnopqrstuvwxyz234567ABCXYZ01890-_=./ !";

proptest! {
    #[test]
    fn any_changed_character_of_a_ticket_is_refused(
        id in any::<[u8; 16]>(),
        secret in any::<[u8; 32]>(),
        pin in any::<Option<[u8; 32]>>(),
        urls in prop::collection::vec("[!-~]{1,40}", 1..4),
        at in any::<prop::sample::Index>(),
        with in different(PRINTABLE, '\0'),
    ) {
        let credential = Credential::new(CredentialKind::Ticket, id, Zeroizing::new(secret));
        let ticket = BootTicket::new(urls.clone(), pin.map(Pin), credential).unwrap();
        let text = ticket.to_text();
        let read = BootTicket::parse(&text).unwrap();
        prop_assert_eq!(read.urls(), urls);
        prop_assert_eq!(read.pin(), pin.map(Pin));
        prop_assert_eq!(read.credential().hash(), ticket.credential().hash());

        let at = at.index(text.len());
        let mut changed: Vec<char> = text.chars().collect();
        prop_assume!(changed[at] != with);
        changed[at] = with;
        let changed: String = changed.into_iter().collect();
        let error = BootTicket::parse(&changed).unwrap_err();
        let expected = if at < 4 { [TicketError::Prefix, TicketError::IsToken] } else { [TicketError::Mistyped, TicketError::Truncated] };
        prop_assert!(expected.contains(&error), "{:?}", error);
        let shown = format!("{error} {error:?} {:?}", error.hint());
        prop_assert!(!shown.contains(&changed[4..12]));
    }

    #[test]
    fn any_changed_or_cut_credential_is_refused(
        kind in prop::sample::select(&KINDS[..]),
        id in any::<[u8; 16]>(),
        secret in any::<[u8; 32]>(),
        at in any::<prop::sample::Index>(),
        with in different(PRINTABLE, '\0'),
    ) {
        let text = Credential::new(kind, id, Zeroizing::new(secret)).to_text();
        let at = at.index(text.len());
        let cut = Credential::parse(&text[..at]).unwrap_err();
        prop_assert_eq!(cut, if at < 4 { CredentialError::Prefix } else { CredentialError::Truncated });
        let mut changed: Vec<char> = text.chars().collect();
        prop_assume!(changed[at] != with);
        changed[at] = with;
        let changed: String = changed.into_iter().collect();
        prop_assert!(Credential::parse(&changed).is_err());
    }

    #[test]
    fn any_text_is_judged_without_panic(text in "(dst_|dsm_|)[a-z2-7é]{0,120}") {
        prop_assert!(BootTicket::parse(&text).is_err());
        prop_assert!(Credential::parse(&text).is_err());
    }
}
