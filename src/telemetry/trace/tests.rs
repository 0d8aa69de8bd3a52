//! Texts of the standard, and what it forbids.

use super::*;

const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_context_is_read_and_written_as_the_standard_shows() {
    let context: TraceContext = TEXT.parse().unwrap();
    assert_eq!(context.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
    assert_eq!(context.parent, 0xb7ad_6b71_6920_3331);
    assert!(context.is_sampled());
    assert_eq!(context.to_header().as_bytes(), TEXT.as_bytes());
    assert_eq!(context.to_string(), TEXT);
    assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
    let next = context.caused_by(0x1f);
    let text = "00-0af7651916cd43dd8448eb211c80319c-000000000000001f-01";
    assert_eq!(next.to_header().as_bytes(), text.as_bytes());
}

#[test]
fn what_the_standard_forbids_is_no_context() {
    let with = |at: usize, text: &str| {
        let mut changed = TEXT.to_owned();
        changed.replace_range(at..at + text.len(), text);
        TraceContext::parse(changed.as_bytes())
    };
    assert_eq!(with(0, "ff"), Err(TraceparentError::Version));
    assert_eq!(with(5, "A"), Err(TraceparentError::Byte { at: 5 }));
    assert_eq!(with(35, "_"), Err(TraceparentError::Byte { at: 35 }));
    assert_eq!(with(54, "g"), Err(TraceparentError::Byte { at: 54 }));
    let zero = |field| Err(TraceparentError::Zero { field });
    assert_eq!(with(3, &"0".repeat(32)), zero("the trace id"));
    assert_eq!(with(36, &"0".repeat(16)), zero("the parent id"));
    for text in [
        "",
        "00-0af7",
        &TEXT[..54],
        &format!("{TEXT}-"),
        &format!("{TEXT}0"),
    ] {
        let bytes = text.len();
        assert_eq!(
            text.parse::<TraceContext>(),
            Err(TraceparentError::Length { bytes })
        );
    }
}

#[test]
fn of_a_later_version_is_read_what_is_known_and_passed_on_as_version_00() {
    let known: TraceContext = TEXT.parse().unwrap();
    for later in [
        TEXT.replacen("00", "cc", 1),
        TEXT.replacen("00", "01", 1) + "-what-comes-later",
    ] {
        assert_eq!(later.parse(), Ok(known), "{later}");
    }
    let glued = TEXT.replacen("00", "cc", 1) + ".what";
    assert!(glued.parse::<TraceContext>().is_err());
}

#[test]
fn flags_without_a_meaning_are_not_passed_on() {
    let mut text = TEXT.to_owned();
    text.replace_range(53.., "fe");
    let context: TraceContext = text.parse().unwrap();
    assert!(!context.is_sampled());
    assert_eq!(context.flags, 0x02);
    assert_eq!(TraceContext::from_bytes(&[0xff; 25]).unwrap().flags, 0x03);
}

#[test]
fn bytes_without_a_trace_or_a_parent_are_no_context() {
    let context: TraceContext = TEXT.parse().unwrap();
    for range in [0..16, 16..24] {
        let mut bytes = context.to_bytes();
        bytes[range].fill(0);
        assert_eq!(TraceContext::from_bytes(&bytes), None);
    }
}

#[test]
fn the_rate_is_kept_and_a_draw_begins_a_trace_of_its_own() {
    let mut ids = IdSource::new();
    let drawn = |rate: f64, ids: &mut IdSource| {
        let sampler = Sampler::new(rate);
        (0..10_000).filter_map(|_| sampler.draw(ids)).count()
    };
    assert!(!Sampler::new(0.0).is_on());
    assert_eq!(drawn(1.0, &mut ids), 10_000);
    // Ten standard deviations to each side.
    assert!((700..1300).contains(&drawn(0.1, &mut ids)));
    let sampler = Sampler::new(1.0);
    let (first, second) = (sampler.draw(&mut ids), sampler.draw(&mut ids));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.is_sampled() && first.parent == 0 && first.trace_id != second.trace_id);
}

#[test]
fn two_sources_give_different_ids() {
    let (mut one, mut other) = (IdSource::new(), IdSource::default());
    assert_ne!(one.span(), other.span());
    assert_ne!(one.trace(), other.trace());
}
