//! Credentials and tickets read back; every other text is refused with its own error.

use proptest::prelude::*;

use super::*;
use crate::domain::location::{AnswerKey, LocationError};
use crate::domain::pin::PinPair;
use crate::domain::ticket::{TicketError, TicketPartsError};

const KINDS: [CredentialKind; 4] =
    [CredentialKind::Operator, CredentialKind::Member, CredentialKind::Ticket, CredentialKind::Boot];

fn credential(kind: CredentialKind) -> Credential {
    Credential::new(kind, [7; 16], Zeroizing::new([0xa5; 32]))
}

/// With no pin, one or two.
fn pins(count: u8) -> Option<PinPair> {
    (count > 0).then_some(PinPair::new(Pin([3; 32]), Pin([2 + count; 32])))
}

const ANSWER_KEY: AnswerKey = AnswerKey([5; 32]);

fn ticket(urls: &[&str], pin_count: u8) -> BootTicket {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    BootTicket::new(urls, pins(pin_count), credential(CredentialKind::Ticket)).unwrap()
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
    assert_eq!(hashes.len(), 6);
}

#[test]
fn each_fault_of_a_credential_has_its_own_error() {
    let text = credential(CredentialKind::Member).to_text();
    for (fault, expected) in [
        (String::new(), CredentialError::Prefix),
        ("hunter2".to_owned(), CredentialError::Prefix),
        (format!(" {}", *text), CredentialError::Prefix),
        (ticket(&["https://a"], 0).to_text().to_string(), CredentialError::IsTicket),
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
    for (urls, count) in [
        (&["https://store.example:7373"][..], 1),
        (&["http://127.0.0.1:7373"], 0),
        (&["https://a:1", "https://b:2", "unix:/run/dropsafe.sock"], 2),
        (&["a", "b", "c", "d", "e", "f", "g", "h"], 0),
    ] {
        let text = ticket(urls, count).to_text();
        assert!(text.starts_with("dst_"));
        let read = BootTicket::parse(&text).unwrap();
        assert_eq!(read.urls(), urls);
        assert_eq!(read.pins(), pins(count));
        assert_eq!(read.credential().id, [7; 16]);
        assert_eq!(read.credential().hash(), credential(CredentialKind::Ticket).hash());
        assert_eq!(*read.to_text(), *text);
        assert_eq!(read.location().answer_key(), None);
        let with_key = read.with_answer_key(ANSWER_KEY);
        let read = BootTicket::parse(&with_key.to_text()).unwrap();
        assert_eq!(read.location(), with_key.location());
        assert_eq!(read.location().answer_key(), Some(ANSWER_KEY));
        assert_eq!((read.urls(), read.pins()), (with_key.urls(), pins(count)));
        assert_eq!(read.credential().hash(), credential(CredentialKind::Ticket).hash());
    }
}

#[test]
fn a_ticket_is_made_of_what_it_can_carry() {
    let make = |urls: Vec<String>, kind| BootTicket::new(urls, None, credential(kind)).map(|_| ());
    let kind = CredentialKind::Ticket;
    assert_eq!(make(vec![], kind), Err(LocationError::UrlCount.into()));
    assert_eq!(make(vec!["a".to_owned(); 9], kind), Err(LocationError::UrlCount.into()));
    for url in ["", "a b", "a\n", "ä", &"a".repeat(513)] {
        assert_eq!(make(vec![url.to_owned()], kind), Err(LocationError::Url.into()));
    }
    assert_eq!(make(vec!["a".to_owned()], CredentialKind::Member), Err(TicketPartsError::Kind));
    assert_eq!(make(vec!["a".repeat(512); 8], kind), Ok(()));
}

#[test]
fn each_fault_of_a_ticket_has_its_own_error() {
    let text = ticket(&["https://store.example:7373"], 1).to_text();
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
    later[0] = 4;
    assert_eq!(error(&encode("dst_", later)), TicketError::Version);
}

/// The bytes of all forms, which tickets on machines have: version, id, secret, pins, answer key, addresses.
#[test]
fn tickets_of_all_forms_are_read_as_they_were_written() {
    const ONE: &str = "dst_aedqobyha4dqobyha4dqobyha4d2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljibambqgaydambqgaydambqgaydambqgaydambqgaydambqgaydambqcaa2nb2hi4dthixs643un5zgkltfpbqw24dmmu5domzxgmzs6lvo";
    const TWO: &str = "dst_aidqobyha4dqobyha4dqobyha4d2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljicambqgaydambqgaydambqgaydambqgaydambqgaydambqgaydambqibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibabaangq5duobztulzpon2g64tffzsxqylnobwgkorxgm3thmhnd3dq";
    for (text, count) in [(ONE, 1), (TWO, 2)] {
        assert_eq!(*ticket(&["https://store.example:7373"], count).to_text(), text);
        assert_eq!(BootTicket::parse(text).unwrap().pins(), pins(count));
    }
    const WITH_KEY: [&str; 3] = [
        "dst_amdqobyha4dqobyha4dqobyha4d2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljiaaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqcaa2nb2hi4dthixs643un5zgkltfpbqw24dmmu5domzxgpnhokk6",
        "dst_amdqobyha4dqobyha4dqobyha4d2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljibambqgaydambqgaydambqgaydambqgaydambqgaydambqgaydambqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqkbibaangq5duobztulzpon2g64tffzsxqylnobwgkorxgm3tg52ntuxa",
        "dst_amdqobyha4dqobyha4dqobyha4d2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljicambqgaydambqgaydambqgaydambqgaydambqgaydambqgaydambqibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibafaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifauaqagtior2ha4z2f4xxg5dpojss4zlymfwxa3dfhi3tgnzt4nugooi",
    ];
    for (text, count) in WITH_KEY.into_iter().zip(0..) {
        let written = ticket(&["https://store.example:7373"], count).with_answer_key(ANSWER_KEY);
        assert_eq!(*written.to_text(), text);
        assert_eq!(BootTicket::parse(text).unwrap().location(), written.location());
    }
}

#[test]
fn a_ticket_with_two_pins_has_one_form() {
    let content = |version: u8, listed: &[u8]| {
        let mut content = Zeroizing::new(vec![version]);
        credential(CredentialKind::Ticket).write_parts(&mut content);
        content.push(listed.len() as u8);
        listed.iter().for_each(|pin| content.extend_from_slice(&[*pin; 32]));
        content.extend_from_slice(b"\x01\0\x01a");
        BootTicket::parse(&encode("dst_", content)).map(|ticket| ticket.pins())
    };
    assert_eq!(content(2, &[3, 4]), Ok(pins(2)));
    // The form of the other number of pins, two equal pins, three pins, and none in the form of two.
    for (version, listed) in
        [(1, &[3, 4][..]), (2, &[3]), (2, &[3, 3]), (1, &[3, 3]), (2, &[3, 4, 5]), (2, &[]), (3, &[3])]
    {
        assert_eq!(content(version, listed), Err(TicketError::Mistyped), "{version} {listed:?}");
    }
}

#[test]
fn every_truncation_of_a_ticket_is_told_as_one() {
    for urls in [&["https://store.example:7373"][..], &["u"], &["https://a:1", "https://bb:2"]] {
        let with_key = ticket(urls, 0).with_answer_key(ANSWER_KEY);
        for text in [ticket(urls, 1).to_text(), ticket(urls, 2).to_text(), with_key.to_text()] {
            for len in 4..text.len() {
                let error = BootTicket::parse(&text[..len]).unwrap_err();
                assert_eq!(error, TicketError::Truncated, "{len} of {}", text.len());
            }
        }
    }
}

#[test]
fn debug_shows_nothing() {
    let shown =
        format!("{:?} {:?}", credential(CredentialKind::Member), ticket(&["https://store.example"], 2));
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

#[test]
fn a_pair_of_pins_reads_back() {
    let (one, two) = (Pin([1; 32]), PinPair::new(Pin([1; 32]), Pin([2; 32])));
    assert_eq!(PinPair::from(one).list(), [one]);
    assert_eq!(PinPair::from(one).to_string(), one.to_string());
    assert_eq!(two.list(), [one, Pin([2; 32])]);
    for pins in [one.into(), two] {
        assert_eq!(pins.to_string().parse(), Ok(pins));
    }
    for bad in
        [format!("{one},"), format!(",{one}"), format!("{two},{one}"), format!("{one}, {one}"), String::new()]
    {
        assert!(bad.parse::<PinPair>().is_err(), "{bad:?}");
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
        pins in any::<Option<[[u8; 32]; 2]>>(),
        two in any::<bool>(),
        key in any::<Option<[u8; 32]>>(),
        urls in prop::collection::vec("[!-~]{1,40}", 1..4),
        at in any::<prop::sample::Index>(),
        with in different(PRINTABLE, '\0'),
    ) {
        let credential = Credential::new(CredentialKind::Ticket, id, Zeroizing::new(secret));
        let pins = pins.map(|[current, next]| PinPair::new(Pin(current), Pin(if two { next } else { current })));
        let mut ticket = BootTicket::new(urls.clone(), pins, credential).unwrap();
        if let Some(key) = key {
            ticket = ticket.with_answer_key(AnswerKey(key));
        }
        let text = ticket.to_text();
        let read = BootTicket::parse(&text).unwrap();
        prop_assert_eq!(read.urls(), urls);
        prop_assert_eq!(read.pins(), pins);
        prop_assert_eq!(read.location(), ticket.location());
        prop_assert_eq!(read.to_text(), text.clone());
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
