use super::*;
use crate::HostId;
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
        ("n1[0-5]", 2, "fill its digits"),
        ("a_b", 1, "RFC 1123"),
        ("a,,b", 2, "missing"),
        ("", 0, "missing"),
        ("x-g[1-3]", 0, "guest's name"),
        ("n[01-100]", 2, "same number of digits"),
        ("n[1-99999999]", 0, "more than"),
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

/// Patterns that parse more often than not.
fn any_pattern() -> impl Strategy<Value = String> {
    let number = (0u32..30, 0u32..9, 0usize..4)
        .prop_map(|(a, n, w)| if n == 0 { format!("{a:0w$}") } else { format!("{a:03}-{:03}", a + n) });
    let field = proptest::collection::vec(number, 1..3).prop_map(|v| format!("[{}]", v.join(",")));
    let term = (prop_oneof!["[a-c]", "[a-c]-", "[a-c]1-"], field, prop_oneof!["", "x", "-y[1-2]"])
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
