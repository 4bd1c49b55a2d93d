//! The masker is compared with a search for every form of [`super::reference`] at every place.

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::anchors::Anchors;
use super::masker::{MASK, Masker};
use super::patterns::{PatternSet, sort};
use super::reference;
use super::{MAX_BYTES, MAX_VALUES, select};

fn pattern_set(values: &[&[u8]]) -> PatternSet {
    let mut spans = Vec::new();
    let mut end = 0;
    for value in values {
        spans.push(end..end + value.len());
        end += value.len();
    }
    PatternSet::new(Zeroizing::new(values.concat()), &spans)
}

/// Puts a piece of any length into the masker.
fn push(masker: &mut Masker<'_>, mut piece: &[u8], out: &mut Vec<u8>) {
    while !piece.is_empty() {
        let space = masker.space();
        let count = piece.len().min(space.len());
        space[..count].copy_from_slice(&piece[..count]);
        masker.push(count, out);
        piece = &piece[count..];
    }
}

/// What is passed on after each piece, and at the end.
fn pieces(values: &[&str], pieces: &[&str]) -> Vec<String> {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let set = pattern_set(&values);
    let anchors = Anchors::new(&set);
    let mut masker = Masker::new(&set, &anchors);
    let mut passed = Vec::new();
    for piece in pieces {
        let mut out = Vec::new();
        push(&mut masker, piece.as_bytes(), &mut out);
        passed.push(String::from_utf8(out).unwrap());
    }
    let mut out = Vec::new();
    masker.finish(&mut out);
    passed.push(String::from_utf8(out).unwrap());
    passed
}

/// The whole output for a text that arrives cut at these places.
fn masked(values: &[&[u8]], text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let set = pattern_set(values);
    let anchors = Anchors::new(&set);
    let mut masker = Masker::new(&set, &anchors);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    let mut out = Vec::new();
    for piece in cuts.windows(2) {
        push(&mut masker, &text[piece[0]..piece[1]], &mut out);
    }
    masker.finish(&mut out);
    assert!(!masker.is_holding());
    out
}

#[test]
fn a_value_is_masked_across_pieces_and_nothing_is_held_for_longer_than_it_must_be() {
    assert_eq!(pieces(&["secret"], &["a sec", "ret b"]), ["a ", "*** b", ""]);
    assert_eq!(pieces(&["secret"], &["a sec", "ond"]), ["a ", "second", ""]);
    assert_eq!(pieces(&["secret"], &["secret"]), ["***", ""]);
    assert_eq!(pieces(&["secret"], &["plain\n", "s"]), ["plain\n", "", "s"]);
    assert_eq!(pieces(&["secret", "secretary"], &["secret", "ary", " x"]), ["***", "", " x", ""]);
    assert_eq!(pieces(&["secret", "secretary"], &["secret", "ar", "t"]), ["***", "", "art", ""]);
    assert_eq!(pieces(&["abcd", "cdef"], &["abcdef"]), ["***", ""]);
    assert_eq!(pieces(&["bcde", "abcdef"], &["abcdex", "abcdef"]), ["a***x", "***", ""]);
    assert_eq!(pieces(&["one\ntwo"], &["one\n", "two\n"]), ["", "***\n", ""]);
    assert_eq!(pieces(&["one\ntwo\n"], &["one\ntwo", "\n"]), ["***", "", ""]);
    assert_eq!(pieces(&[], &["x"]), ["x", ""]);
    assert_eq!(pieces(&["abc"], &["abc"]), ["abc", ""]);
    assert_eq!(pieces(&["aaaa"], &["aaaaaaa a aaaa"]), ["*** a ***", ""]);
    assert_eq!(pieces(&["pa/ss"], &["100%", " pa%", "2fss pa\\", "/ss"]), ["100%", " ", "*** ", "***", ""]);
    assert_eq!(pieces(&["/secret"], &["100%", "2Fsecret", "100% "]), ["100", "***", "100% ", ""]);
}

#[test]
fn what_is_released_stays_and_the_rest_of_the_value_is_masked() {
    let set = pattern_set(&[b"password: 1234", b"word: 56"]);
    let anchors = Anchors::new(&set);
    let mut masker = Masker::new(&set, &anchors);
    let mut after = |piece: &[u8], release: bool| {
        let mut out = Vec::new();
        push(&mut masker, piece, &mut out);
        if release {
            masker.release(&mut out);
            assert!(!masker.is_holding());
        }
        String::from_utf8(out).unwrap()
    };
    assert_eq!(after(b"password: ", false), "");
    assert_eq!(after(b"", true), "password: ");
    assert_eq!(after(b"12", false), "");
    assert_eq!(after(b"34 password: ", true), "*** password: ");
    assert_eq!(after(b"5", true), "5");
    assert_eq!(after(b"6 x", true), "*** x");
    assert_eq!(after(b"password: 12", true), "password: 12");
    assert_eq!(after(b"x", true), "x");
}

#[test]
fn values_longer_than_what_is_held_are_masked_in_every_form() {
    // Repeats nothing, and has characters that are escaped, the first of them late.
    let mut value: String = (0..330).map(|n| format!("line {} of many.", n * n)).collect();
    value.push_str(&(0..20).map(|n| format!("\n{n} \"é😀\" 50%+\\")).collect::<String>());
    assert!(value.len() > 6000);
    let set = pattern_set(&[value.as_bytes(), b"other"]);
    let anchors = Anchors::new(&set);
    for form in reference::encode(value.as_bytes()).into_iter().filter(|form| form.len() > 100) {
        let mut masker = Masker::new(&set, &anchors);
        let mut out = Vec::new();
        let (first, second) = form.split_at(5003);
        for piece in [&b"<"[..], first, second, b">"] {
            push(&mut masker, piece, &mut out);
        }
        masker.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "<***>", "a form of {} bytes", form.len());
    }
    // Its beginning is masked, too, and nothing but that.
    let text = [&value.as_bytes()[..5500], b"!", value.as_bytes(), value.as_bytes(), b" end"].concat();
    assert_eq!(String::from_utf8(masked(&[value.as_bytes()], &text, &[5000])).unwrap(), "***!*** end");
}

#[test]
fn a_value_that_repeats_itself_takes_no_longer_than_another() {
    for length in [100, 4000, 4096, 4097, 300_000] {
        let value = vec![b'x'; length];
        let text = value.repeat(2.max((1 << 14) / length));
        assert_eq!(masked(&[&value], &text, &[]), MASK, "{length}");
        let hex = "78".repeat(text.len());
        assert_eq!(masked(&[&value], hex.as_bytes(), &[]), MASK, "{length} in hexadecimal");
    }
}

#[test]
fn short_values_are_selected_first_and_the_others_are_named() {
    let large = vec![b'x'; MAX_BYTES / 2];
    let named = |count: usize| (0..count).map(|n| format!("V{n}"));
    let many: Vec<(String, &[u8])> =
        named(5).map(|name| (name, &large[..])).chain([("S".into(), &b"small"[..])]).collect();
    let (values, left_out) = select(many);
    assert_eq!(values.iter().map(|value| value.len()).collect::<Vec<_>>(), [5, MAX_BYTES / 2]);
    assert_eq!(left_out.as_deref(), Some("V1, V2, V3, V4"));
    let many =
        named(MAX_VALUES + 12).map(|name| (name, &b"value"[..])).chain([("S".into(), &b"abc"[..])]).collect();
    let (values, left_out) = select(many);
    assert_eq!(values.len(), MAX_VALUES);
    assert!(left_out.unwrap().ends_with("V1009, 2 more"));
    assert_eq!(select(vec![("A".into(), b"value")]).1, None);
}

#[test]
fn a_value_that_is_also_a_part_of_another_is_masked_in_escaped_forms() {
    let values: [&[u8]; 2] = [b"-----BEGIN\nABC/DE+FGH", b"ABC/DE+FGH"];
    for order in [[0, 1], [1, 0]] {
        let text = b"x ABC%2FDE%2BFGH ABC\\/DE+FGH";
        assert_eq!(masked(&order.map(|index| values[index]), text, &[]), b"x *** ***");
    }
}

/// Searches for every form at every place.
fn plainly(forms: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut known = vec![false; text.len()];
    for start in 0..text.len() {
        for form in forms.iter().filter(|form| text[start..].starts_with(form)) {
            known[start..start + form.len()].fill(true);
        }
    }
    let mut out = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        if !known[at] {
            out.push(*byte);
        } else if at == 0 || !known[at - 1] {
            out.extend_from_slice(MASK);
        }
    }
    out
}

proptest! {
    #[test]
    fn it_agrees_with_looking_everywhere(
        values in proptest::collection::vec(proptest::collection::vec(97_u8..99, 4..9), 0..4),
        words in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, proptest::collection::vec(97_u8..99, 0..6)), 0..8),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let forms: Vec<Vec<u8>> = values.iter().flat_map(|value| reference::encode(value)).collect();
        // Forms and beginnings of forms between letters that may continue them.
        let mut text = Vec::new();
        for (index, length, letters) in words {
            if !forms.is_empty() {
                let form = index.get(&forms);
                text.extend(&form[..length.min(form.len())]);
            }
            text.extend(letters);
        }
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let (found, expected) = (masked(&values, &text, &cuts), plainly(&forms, &text));
        prop_assert_eq!(String::from_utf8(found), String::from_utf8(expected));
    }

    #[test]
    fn every_form_of_any_value_is_masked(
        value in prop_oneof![
            "[a-zA-Z0-9/+=_-]{4,40}", "[ -}]{4,20}", "[ab \"%+\\\\/<&\n\r\té😀]{4,20}", "\\PC{4,12}", "[A-Z]{8,20}\n {0,9}[a-z]{8,20}\r\n",
        ],
        cuts in proptest::collection::vec(any::<usize>(), 0..4),
    ) {
        // The neighbours of the form are in none.
        prop_assume!(!value.contains('~'));
        for form in reference::encode(value.as_bytes()) {
            let text = [b"~~", &form[..], b"~"].concat();
            let out = masked(&[value.as_bytes()], &text, &cuts);
            prop_assert_eq!(String::from_utf8_lossy(&out), "~~***~", "{:?}", String::from_utf8_lossy(&form));
        }
    }

    #[test]
    fn sorting_sorts(mut numbers in proptest::collection::vec(0_u32..50, 0..70)) {
        let mut expected = numbers.clone();
        expected.sort_unstable();
        sort(&mut numbers, |a, b| a < b);
        prop_assert_eq!(numbers, expected);
    }

    #[test]
    fn output_without_values_is_not_changed(
        text in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let values: [&[u8]; 3] = [b"hunter2 hunter2 hunter2", b"%\\\"x \n\0\x01\x02", b"-----BEGIN-----\nABCDEFGHIJ\n"];
        prop_assert_eq!(masked(&values, &text, &cuts), text);
    }
}
