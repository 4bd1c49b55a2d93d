//! What is read, and every fault with its line.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Vec<(usize, String, String)> {
    let assignments = parse(text.as_bytes()).unwrap();
    assignments
        .iter()
        .map(|found| (found.line, found.name.to_string(), found.value.to_text().unwrap().to_owned()))
        .collect()
}

fn one(text: &str) -> String {
    let mut all = read(text);
    assert_eq!(all.len(), 1, "{text:?}");
    all.remove(0).2
}

fn faults(text: &str) -> Vec<(usize, ImportFaultKind)> {
    parse(text.as_bytes()).unwrap_err().iter().map(|fault| (fault.line, fault.kind)).collect()
}

fn fault(text: &str) -> ImportFaultKind {
    let all = faults(text);
    assert_eq!(all.len(), 1, "{text:?}");
    all[0].1
}

#[test]
fn a_file_as_people_write_it() {
    let text = "# comment\n\nA=1\n  # indented comment\nexport B=two words \nopenai-api-key='$lit #x'\nD=\"a\\\"b\"  # why\nE=\n";
    let expected = [
        (3, "A", "1"),
        (5, "B", "two words"),
        (6, "openai-api-key", "$lit #x"),
        (7, "D", "a\"b"),
        (8, "E", ""),
    ];
    let expected: Vec<_> =
        expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned())).into();
    assert_eq!(read(text), expected);
}

#[test]
fn unquoted_values() {
    assert_eq!(one("A=b=c=d"), "b=c=d");
    assert_eq!(one("A=b#c"), "b#c");
    assert_eq!(one("A=postgres://u:p@h/d?x=1&y=2"), "postgres://u:p@h/d?x=1&y=2");
    assert_eq!(one("A=pa$"), "pa$");
    assert_eq!(one("A=a$1b$%"), "a$1b$%");
    assert_eq!(one("A=ü"), "ü");
    assert_eq!(one("\tA=b\t"), "b");
    assert_eq!(one("export\tA=b"), "b");
    assert_eq!(one("export=b"), "b");
    assert_eq!(one("exportA=b"), "b");
    assert_eq!(one("A= "), "");
}

#[test]
fn single_quotes_keep_everything() {
    assert_eq!(one("A='a\\n$B \"x\" #'"), "a\\n$B \"x\" #");
    assert_eq!(one("A='line\nline\n'\n"), "line\nline\n");
    assert_eq!(one("A=''"), "");
}

#[test]
fn double_quotes_know_their_escapes() {
    assert_eq!(one(r#"A="\\ \" \$B \` \n \r \t $ $1""#), "\\ \" $B ` \n \r \t $ $1");
    assert_eq!(one("A=\"a\nb\""), "a\nb");
    assert_eq!(one("A=\"a\\\nb\\\r\nc\""), "abc");
    assert_eq!(one("A=\"a#b\" #c\"d"), "a#b");
    assert_eq!(one("A=\"x\\\\\""), "x\\");
}

#[test]
fn line_ends_and_byte_order_mark() {
    let expected = vec![(1, "A".to_owned(), "b".to_owned()), (2, "C".to_owned(), "d".to_owned())];
    assert_eq!(read("\u{feff}A=b\r\nC='d'\r\n"), expected);
    assert_eq!(read(""), []);
    assert_eq!(read("\n\r\n#\n"), []);
    assert_eq!(read("A='x\ny'\nB=1").last().unwrap().0, 3);
}

#[test]
fn where_readers_differ_the_line_is_a_fault() {
    assert_eq!(fault("A"), ImportFaultKind::NoAssignment);
    assert_eq!(fault("; comment"), ImportFaultKind::NoAssignment);
    assert_eq!(fault("export A"), ImportFaultKind::NoAssignment);
    for text in ["A =b", "A= b", "A = b", "A= 'b'", "A=\tb"] {
        assert_eq!(fault(text), ImportFaultKind::Blank, "{text:?}");
    }
    for text in ["A=b # c", "A=b\t#c", "A=#c", "A=b\"c\"", "A=it's", "A=C:\\x", "A=b\\", "A=`id`"] {
        assert_eq!(fault(text), ImportFaultKind::Unquoted, "{text:?}");
    }
    for text in ["A=$B", "A=x${B}", "A=$(id)", "A=a$$b", "A=\"$B\"", "A=\"${B}\"", "A=\"x$(id)\"", "A=$_"] {
        assert_eq!(fault(text), ImportFaultKind::Dollar, "{text:?}");
    }
    for text in [r#"A="\x""#, r#"A="\'""#, r#"A="C:\dir""#] {
        assert_eq!(fault(text), ImportFaultKind::Escape, "{text:?}");
    }
    for text in ["A='b'c", "A=\"b\"c", "A='b' c", "A='b'#c", "A='b''c'", "A=\"a\"'b'"] {
        assert_eq!(fault(text), ImportFaultKind::AfterQuote, "{text:?}");
    }
    for text in ["A='b", "A=\"b", "A=\"b\\\"", "A='b\nB=1\nC=2"] {
        assert_eq!(fault(text), ImportFaultKind::Unclosed, "{text:?}");
    }
    for text in ["A=b\0", "A='b\0'", "A=\"b\0\""] {
        assert_eq!(fault(text), ImportFaultKind::Nul, "{text:?}");
    }
    assert!(matches!(fault("=b"), ImportFaultKind::Name(NameError::Empty { .. })));
    assert!(matches!(fault("A B=c"), ImportFaultKind::Name(NameError::Character { .. })));
    assert!(matches!(fault("1=c"), ImportFaultKind::Name(NameError::NoLetter)));
    assert!(matches!(faults_of_bytes(b"\xff=c")[0].kind, ImportFaultKind::Name(NameError::Character { .. })));
}

fn faults_of_bytes(bytes: &[u8]) -> Vec<ImportFault> {
    parse(bytes).unwrap_err()
}

#[test]
fn values_need_not_be_text_here() {
    let assignments = parse(b"A=\xff\xfe").unwrap();
    assert_eq!(assignments[0].value.expose(), b"\xff\xfe");
}

#[test]
fn all_faults_are_reported_with_their_lines() {
    let text =
        "A=1\nnonsense\nB=$X\nC=\"multi\n\\q line\nend\"\nD = \"x\ny\"\nE='v'w\nF=ok\na=2\nG='open\nH=1\n";
    let lines: Vec<_> = faults(text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [2, 3, 4, 7, 9, 11, 12]);
    assert_eq!(faults(text)[5].1, ImportFaultKind::Duplicate { first: 1 });
}

#[test]
fn two_names_that_export_alike_are_duplicates() {
    assert_eq!(faults("db-url=1\nX=1\nDB_URL=2\n"), [(3, ImportFaultKind::Duplicate { first: 1 })]);
}

proptest! {
    #[test]
    fn no_fault_quotes_the_file(secret in "[a-z]{12}", line in "(x=|x='|x=\"|x =|=|)SECRET('|\"|\\\\|\\$X| #|)") {
        let text = line.replace("SECRET", &secret);
        if let Err(faults) = parse(text.as_bytes()) {
            for fault in faults {
                let shown = format!("{fault} {fault:?} {:?}", fault.kind.hint());
                prop_assert!(!shown.contains(&secret));
            }
        }
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn any_text_of_the_alphabet_is_judged_without_panic(text in "[A=\"'\\\\$#\\n\\r xe]{0,60}") {
        let lines = text.lines().count();
        match parse(text.as_bytes()) {
            Ok(found) => prop_assert!(found.iter().all(|found| found.line <= lines)),
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                prop_assert!(faults.is_sorted_by(|a, b| a.line < b.line));
            }
        }
    }

    #[test]
    fn what_is_quoted_reads_back(value in "\\PC{0,40}", newline in "\\n?") {
        let value = format!("{value}{newline}");
        let mut quoted = String::from("A=\"");
        for c in value.chars() {
            if matches!(c, '\\' | '"' | '$' | '`') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        prop_assert_eq!(one(&quoted), value);
    }
}

/// In the square of their number, this would take minutes.
#[test]
fn comments_take_time_in_proportion_to_their_number() {
    let text = format!("{}A=1\n", "#dropsafe: no-install\n#\n".repeat(200_000));
    let lines = lines(text.as_bytes());
    let (options, faults) = attributes(text.as_bytes(), &lines);
    assert!(faults.is_empty());
    assert_eq!(options.into_values().next().unwrap().attributes.auto_install, Some(false));
}
