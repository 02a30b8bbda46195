use super::*;
use crate::HostId;
use alloc::string::ToString;
use proptest::prelude::*;

#[test]
fn the_sources_pattern_ranks() {
    let names = HostNames::parse("dn[4-11,16-19]").unwrap();
    assert_eq!(names.len(), 12);
    assert_eq!(names.name(HostId(1)).unwrap(), "dn4");
    assert_eq!(names.name(HostId(8)).unwrap(), "dn11");
    assert_eq!(names.name(HostId(9)).unwrap(), "dn16");
    assert_eq!(names.name(HostId(13)), None);
    assert_eq!(names.number("dn19"), Some(HostId(12)));
    assert_eq!(names.number("dn12"), None);
    assert_eq!(names.number("dn04"), None);
    assert_eq!(names.fold(&RangeSet::from_ranges(alloc::vec![(1, 3), (8, 9)])), "dn[4-6,11,16]");
    assert_eq!(names.fold(&RangeSet::span(2, 2)), "dn5");
}

#[test]
fn padding_and_several_brackets_hold() {
    let names = HostNames::parse("n[001-100],r[1-4]n[1-8],login").unwrap();
    assert_eq!(names.len(), 133);
    assert_eq!(names.number("n007"), Some(HostId(7)));
    assert_eq!(names.number("n7"), None);
    assert_eq!(names.name(HostId(101)).unwrap(), "r1n1");
    assert_eq!(names.name(HostId(132)).unwrap(), "r4n8");
    assert_eq!(names.number("login"), Some(HostId(133)));
    assert_eq!(names.fold(&RangeSet::span(99, 110)), "n[099-100],r1n[1-8],r2n[1-2]");
}

#[test]
fn mistakes_are_told_where_they_are() {
    for (pattern, at, part) in [
        ("dn[4-11", 2, "unclosed"),
        ("dn[11-4]", 3, "runs backwards"),
        ("dn[1-4,3]", 7, "already"),
        ("dn[1-4],dn3", 8, "already (dn3)"),
        ("n1[0-5],n12", 8, "already (n12)"),
        ("n[1,11][1-11]", 7, "111 is in the brackets already"),
        ("n[0-8/0]", 2, "a step is a number from 1 behind a range"),
        ("n[8/2]", 2, "a step is a number from 1 behind a range"),
        ("n[0-8/]", 2, "a step is a number from 1 behind a range"),
        ("n[0-8/2/2]", 2, "a step is a number from 1 behind a range"),
        ("n[0-8/2],n[2-9/3]", 9, "already (n2)"),
        ("n[0-4/4],n[2-9/3],n[3-6/2]", 18, "already (n5)"),
        ("n[1-5000][1,3]", 9, "more than 4096 ranges"),
        ("n[1-9999999][1-9]", 12, "more than"),
        ("n12345678[10-19]", 9, "at most 9 digits"),
        ("n[1-9999/2]", 1, "without its steps"),
        ("a_b", 1, "RFC 1123"),
        ("a,,b", 2, "missing"),
        ("", 0, "missing"),
        ("x-g[1-3]", 0, "guest's name"),
        ("n[01-100]", 2, "same number of digits"),
        ("n[1-99999999]", 1, "more than"),
        ("n[a-b]", 2, "not a number"),
        ("-a", 0, "begins with a letter"),
        ("[2-4]", 0, "begins with a letter"),
        ("a-", 0, "begins with a letter"),
    ] {
        let e = HostNames::parse(pattern).unwrap_err();
        assert!(e.to_string().contains(part), "{pattern}: {e}");
        assert_eq!(e.at, at, "{pattern}: {e}");
    }
}

#[test]
fn one_set_has_one_value_however_its_numbers_are_written() {
    for (written, same) in [
        ("node1[0-5]", "node[10-15]"),
        ("cn[1-2][0-3]", "cn[10-13,20-23]"),
        ("n[0-8/2]", "n[0,2,4,6,8]"),
        ("dn[4-11/2]", "dn[4,6,8,10]"),
        ("n0[1-9]", "n[01-09]"),
        ("n[0-1]0[5-6]", "n[005-006,105-106]"),
        ("n[0-9][0-9]", "n[00-99]"),
        ("n[0-99][0-9]", "n[00-99,100-999]"),
        ("n[01-02]5x", "n[015,025]x"),
        ("r[1-2]n1[0-1]", "r[1-2]n[10-11]"),
        ("n1[8-11]", "n[18-19,110-111]"),
        ("n[7][3]", "n73"),
        ("login,n[1-3/2]", "login,n[1,3]"),
        ("n[1-4/9],n[010-030/10]", "n1,n[010,020,030]"),
    ] {
        let (written, same) = (HostNames::parse(written).unwrap(), HostNames::parse(same).unwrap());
        assert_eq!(written, same);
        assert_eq!(written.to_string(), same.to_string(), "and one cluster");
    }
    // What needed no other spelling keeps its own: the identity of a cluster is made of it.
    assert_eq!(HostNames::parse("n[1,2,3-4]").unwrap().to_string(), "n[1,2,3-4]");
    let names = HostNames::parse("dn[4-11]").unwrap();
    assert_eq!(names.numbers("dn[4-11/2]").unwrap().to_string(), "1,3,5,7");
    assert_eq!(names.numbers("dn1[0-1]").unwrap().to_string(), "7-8");
    // A node set is not written out: it may have as many steps as there are hosts.
    let names = HostNames::parse("n[1-9999]").unwrap();
    assert_eq!(names.numbers("n[1-9999/2]").unwrap().len(), 5000);
}

/// Patterns that parse more often than not.
fn any_pattern() -> impl Strategy<Value = String> {
    let number = (0u32..30, 0u32..9, 0usize..4).prop_map(|(a, n, w)| match w {
        _ if n == 0 => format!("{a:0w$}"),
        0 => format!("{a:03}-{:03}", a + n),
        step => format!("{a:03}-{:03}/{step}", a + n),
    });
    let field = proptest::collection::vec(number, 1..3).prop_map(|v| format!("[{}]", v.join(",")));
    let term =
        (prop_oneof!["[a-c]", "[a-c]-", "[a-c]1-", "[a-c]1"], field, prop_oneof!["", "x", "-y[1-2]", "[1-3/2]", "0"])
            .prop_map(|(a, b, c)| format!("{a}{b}{c}"));
    proptest::collection::vec(term, 1..4).prop_map(|v| v.join(","))
}

proptest! {
    #[test]
    fn every_number_has_one_name_and_back(pattern in any_pattern()) {
        if let Ok(names) = HostNames::parse(&pattern) {
            for n in 1..=names.len() {
                let name = names.name(HostId(n)).unwrap();
                prop_assert_eq!(names.number(&name), Some(HostId(n)), "{} of {}", name, pattern);
            }
            prop_assert_eq!(names.name(HostId(names.len() + 1)), None);
            prop_assert_eq!(HostNames::parse(&names.to_string()), Ok(names));
        }
    }

    #[test]
    fn folded_names_read_back(pattern in any_pattern(), pick in proptest::collection::vec(any::<bool>(), 64)) {
        if let Ok(names) = HostNames::parse(&pattern) {
            let chosen = (1..=names.len()).filter(|n| pick[*n as usize % 64]).map(|n| (n, n)).collect();
            let chosen = RangeSet::from_ranges(chosen);
            if !chosen.is_empty() {
                prop_assert_eq!(names.numbers(&names.fold(&chosen)).unwrap(), chosen);
            }
        }
    }

    #[test]
    fn no_text_panics(text in "[a-c0-9\\[\\],/-]{0,24}") {
        let _ = HostNames::parse(&text);
    }
}
