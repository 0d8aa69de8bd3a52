//! Rust text without comments and literals, and the rules about single words in it.

/// Replaces comments, string and character literals by spaces; lines stay where they are.
pub fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match literal_or_comment_end(bytes, at) {
            Some(end) => {
                blank(&mut code, &bytes[at..end]);
                end
            }
            None => {
                code.push(if bytes[at].is_ascii() {
                    char::from(bytes[at])
                } else {
                    ' '
                });
                at + 1
            }
        };
        at = end;
    }
    code
}

fn blank(code: &mut String, bytes: &[u8]) {
    code.extend(
        bytes
            .iter()
            .map(|byte| if *byte == b'\n' { '\n' } else { ' ' }),
    );
}

/// The byte after the comment or literal that starts at `at`, if one does.
fn literal_or_comment_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let follows_word = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => Some(at + find(rest, b"\n").unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(at + block_comment_length(rest)),
        [b'"', ..] => Some(at + quoted_length(rest, b'"')),
        [b'r', b'"' | b'#', ..] if !follows_word => raw_length(&rest[1..]).map(|n| at + 1 + n),
        [b'b', b'r', b'"' | b'#', ..] if !follows_word => {
            raw_length(&rest[2..]).map(|n| at + 2 + n)
        }
        // 'x' and '\n' are literals; 'a without a closing quote is a lifetime.
        [b'\'', b'\\', ..] => Some(at + quoted_length(rest, b'\'')),
        [b'\'', first, ..] => {
            let length = char_length(*first);
            (rest.get(1 + length) == Some(&b'\'')).then_some(at + length + 2)
        }
        _ => None,
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of `#"..."#` after the `r`, if it is a raw string and no raw identifier.
fn raw_length(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.extend(std::iter::repeat_n(b'#', hashes));
    let start = hashes + 1;
    let length = find(&rest[start..], &end).map_or(rest.len(), |at| start + at + end.len());
    Some(length)
}

fn char_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0..0xf0 => 3,
        0xc0..0xe0 => 2,
        _ => 1,
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands by itself.
pub fn word_places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let end = at + word.len();
            let starts = *at == 0 || !is_word(bytes[at - 1]);
            starts && bytes.get(end).is_none_or(|byte| !is_word(*byte))
        })
}

pub fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// The byte after the brace that closes the first one at or after `from`; the end of the item where
/// a semicolon comes first.
pub fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    // `[u8; 4]` in a signature ends nothing.
    let mut brackets = 0_usize;
    for (offset, byte) in code.as_bytes()[from..].iter().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return from + offset + 1;
                }
            }
            b';' if depth == 0 && brackets == 0 => return from + offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// Blanks every item under `#[cfg(test)]`.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut shipped = String::with_capacity(code.len());
    let mut at = 0;
    while let Some(found) = code[at..].find(MARK) {
        let start = at + found;
        let end = item_end(code, start + MARK.len());
        shipped.push_str(&code[at..start]);
        blank(&mut shipped, &code.as_bytes()[start..end]);
        at = end;
    }
    shipped.push_str(&code[at..]);
    shipped
}

pub fn unsafe_problems(path: &str, code: &str) -> Vec<String> {
    let words = word_places(code, "unsafe").chain(word_places(code, "unsafe_code"));
    words
        .map(|at| {
            format!(
                "{path}:{}: unsafe code in a file that is not listed",
                line_of(code, at)
            )
        })
        .collect()
}

/// Notes to oneself and scaffolding, in code, comments and documents.
pub fn leftover_problems(path: &str, text: &str) -> Vec<String> {
    const WORDS: [&str; 6] = ["todo!", "unimplemented!", "dbg!", "TODO", "FIXME", "XXX"];
    const BLANK: &str = "<!-- fill";
    let mut problems = Vec::new();
    for (at, _) in text.match_indices(BLANK) {
        problems.push(format!("{path}:{}: a blank to fill", line_of(text, at)));
    }
    for word in WORDS {
        for at in word_places(text, word) {
            problems.push(format!("{path}:{}: {word} is left over", line_of(text, at)));
        }
    }
    problems
}

/// `unwrap` tells nobody why it cannot fail.
pub fn unwrap_problems(path: &str, shipped_code: &str) -> Vec<String> {
    shipped_code
        .match_indices(".unwrap()")
        .map(|(at, _)| {
            let line = line_of(shipped_code, at);
            format!("{path}:{line}: unwrap outside tests; say why with expect, or return an error")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let text =
            "a // unsafe\nb /* x /* y */ unsafe */ c\n\"unsafe \\\" unsafe\" d r#\"un\"safe\"# e";
        let code = without_comments_and_literals(text);
        assert_eq!(code.lines().count(), 3);
        assert_eq!(code.split_whitespace().collect::<String>(), "abcde");
        assert!(unsafe_problems("f.rs", &code).is_empty());
        let code = without_comments_and_literals("fn f<'a>(x: &'a str) { '\"'; '\\''; 'é'; g }");
        assert_eq!(code.matches("'a").count(), 2);
        assert!(code.contains("g }") && !code.contains('"'));
        let code = without_comments_and_literals("b\"x\" br\"y\" for_r\"z\" end");
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>(),
            ["b", "for_r", "end"]
        );
    }

    #[test]
    fn unsafe_code_is_found() {
        assert_eq!(unsafe_problems("f.rs", "\nunsafe { }").len(), 1);
        assert_eq!(unsafe_problems("f.rs", "#![allow(unsafe_code)]").len(), 1);
        assert!(unsafe_problems("f.rs", "unsafely()").is_empty());
    }

    #[test]
    fn leftovers_are_found() {
        for text in [
            "todo!()",
            "// TODO: later",
            "dbg!(x)",
            "// FIXME",
            "unimplemented!()",
            "<!-- fill: later -->",
        ] {
            assert_eq!(leftover_problems("f.rs", text).len(), 1, "{text}");
        }
        assert!(leftover_problems("f.rs", "TODOS, mktemp XXXXXX").is_empty());
    }

    #[test]
    fn unwraps_are_found_outside_tests_only() {
        let code = "fn f() { x.unwrap(); }\n#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }\n";
        let problems = unwrap_problems("f.rs", &without_tests(code));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("f.rs:1: "));
        assert!(unwrap_problems("f.rs", "g().unwrap_or(1)").is_empty());
    }

    #[test]
    fn test_items_are_blanked_up_to_their_end() {
        let code = "#[cfg(test)]\nmod tests;\nfn f(x: [u8; 4]) {}\n#[cfg(test)]\nfn g(x: [u8; 4]) { {} }\nh";
        let shipped = without_tests(code);
        assert!(shipped.contains("fn f") && shipped.ends_with("\nh"));
        assert!(!shipped.contains("tests") && !shipped.contains("fn g"));
    }
}
