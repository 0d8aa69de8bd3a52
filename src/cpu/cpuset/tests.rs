use proptest::prelude::*;

use super::*;

fn list(text: &str) -> CpuSet {
    CpuSet::parse_list(text).unwrap()
}

fn mask(text: &str) -> CpuSet {
    CpuSet::parse_mask(text).unwrap()
}

#[test]
fn lists_are_read_as_the_kernel_writes_them() {
    assert!(list("").is_empty());
    assert!(list("\n").is_empty());
    assert!(list(" (null)\n").is_empty());
    let set = list("0-3,8-95\n");
    assert_eq!(set.len(), 92);
    assert!(set.contains(CpuId(3)) && !set.contains(CpuId(4)) && set.contains(CpuId(95)));
    assert_eq!(set.to_string(), "0-3,8-95");
    assert_eq!(list("5,1,2,3,2-4").to_string(), "1-5");
    assert_eq!(list("0-1").to_string(), "0-1");
    assert_eq!(list("1023").first(), Some(CpuId(1023)));
}

#[test]
fn masks_are_read_whatever_their_width() {
    assert!(mask("").is_empty());
    assert!(mask("00000000,00000000").is_empty());
    for text in ["f", "0000000f", "00000000,0000000f", ",,f", "0xf", "F\n"] {
        assert_eq!(mask(text), list("0-3"), "{text}");
    }
    assert_eq!(mask("1,,80000000"), list("31,64"));
    assert_eq!(mask("ff,ffffffff"), list("0-39"));
    assert_eq!(mask("10000000000000000"), list("64"));
    assert_eq!(mask("ffffffff,00000000,0000000f"), list("0-3,64-95"));
}

#[test]
fn masks_are_padded_as_the_kernel_pads_them() {
    assert_eq!(list("0").to_mask(2), "1");
    assert_eq!(list("").to_mask(2), "0");
    assert_eq!(list("0-3").to_mask(16), "000f");
    assert_eq!(list("0-1").to_mask(64), "00000000,00000003");
    assert_eq!(list("0,95").to_mask(96), "80000000,00000000,00000001");
    assert_eq!(list("33").to_mask(34), "2,00000000");
    // Wider than the machine: nothing is left out.
    assert_eq!(list("40").to_mask(8), "100,00000000");
}

#[test]
fn errors_name_the_byte() {
    let said = |error: Result<CpuSet, CpuSetError>| error.unwrap_err().to_string();
    for (text, part) in [
        ("0-3,x", "byte 4 is 'x'; expected: a digit"),
        ("0-", "byte 2 is the end"),
        ("1,,2", "byte 2 is ','"),
        ("1 2", "byte 1 is ' '"),
        ("0-3,9-5", "the range at byte 4 ends before it starts"),
        ("0,99999", "the CPU named at byte 2 is above 8191"),
        ("-1", "byte 0 is '-'"),
    ] {
        let said = said(CpuSet::parse_list(text));
        assert!(said.contains(part), "{text}: {said}");
    }
    for (text, part) in [
        ("ff,0g", "byte 4 is 'g'; expected: a hexadecimal digit"),
        ("1,000000000", "byte 2 is '0'; expected: at most eight"),
        ("0-3", "byte 1 is '-'"),
    ] {
        let said = said(CpuSet::parse_mask(text));
        assert!(said.contains(part), "{text}: {said}");
    }
    let far = format!("1{}", ",00000000".repeat(256));
    assert!(said(CpuSet::parse_mask(&far)).contains("byte 0 is above"));
}

#[test]
fn a_set_is_a_list_in_json() {
    let json = serde_json::to_string(&list("0-2,7")).unwrap();
    assert_eq!(json, "\"0-2,7\"");
    assert_eq!(
        serde_json::from_str::<CpuSet>(&json).unwrap(),
        list("0-2,7")
    );
    let error = serde_json::from_str::<CpuSet>("\"0-\"").unwrap_err();
    assert!(error.to_string().contains("byte 2"), "{error}");
}

fn sets() -> impl Strategy<Value = CpuSet> {
    proptest::collection::vec((0..1024u16, 0..40u16), 0..20).prop_map(|ranges| {
        ranges
            .into_iter()
            .flat_map(|(first, len)| (first..(first + len).min(1024)).map(CpuId))
            .collect()
    })
}

proptest! {
    #[test]
    fn both_forms_come_back_as_they_were(set in sets(), cpus in 1..1100usize) {
        prop_assert_eq!(&CpuSet::parse_list(&set.to_string()).unwrap(), &set);
        prop_assert_eq!(&CpuSet::parse_mask(&set.to_mask(cpus)).unwrap(), &set);
    }

    #[test]
    fn algebra_is_that_of_sets(a in sets(), b in sets()) {
        for cpu in (0..1024).map(CpuId) {
            let (in_a, in_b) = (a.contains(cpu), b.contains(cpu));
            prop_assert_eq!(a.union(&b).contains(cpu), in_a || in_b);
            prop_assert_eq!(a.intersection(&b).contains(cpu), in_a && in_b);
            prop_assert_eq!(a.difference(&b).contains(cpu), in_a && !in_b);
        }
        let all = a.union(&b);
        prop_assert!(a.is_subset(&all));
        prop_assert_eq!(all.len(), a.len() + b.difference(&a).len());
        // By set, not by width.
        prop_assert_eq!(all.difference(&b.difference(&a)), a);
    }

    #[test]
    fn no_text_is_too_much(text in "[-0-9a-fx, \n]{0,40}|.{0,12}") {
        let _ = CpuSet::parse_list(&text);
        let _ = CpuSet::parse_mask(&text);
    }
}
