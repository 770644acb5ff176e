//! Expressions and texts against what PCRE makes of them.
use super::*;

/// The groups of the first match, as text; `-` for unset ones.
fn find(pattern: &str, text: &str) -> Option<String> {
    let regex = Regex::new(pattern.as_bytes(), false).unwrap();
    let (mut scratch, mut captures) = (Scratch::new(), Captures::default());
    scratch.reserve_for(&regex);
    regex.exec(&mut scratch, text.as_bytes(), &mut captures).then(|| {
        let group = |index| match captures.get(index) {
            Some(range) => text[range].to_string(),
            None => "-".into(),
        };
        (0..=regex.groups()).map(group).collect::<Vec<_>>().join(",")
    })
}

#[test]
fn matches() {
    for (pattern, text, groups) in [
        ("^/api/(.*)$", "/api/users", Some("/api/users,users")),
        (r"\.(gif|jpg|png)$", "/images/x.png", Some(".png,png")),
        (r"\.(gif|jpg|png)$", "/images/x.pngs", None),
        ("(a*)*", "aab", Some("aa,")),
        ("(a|b*)*", "abc", Some("ab,")),
        ("(?:|a)*", "a", Some("")),
        ("(?:(a)|b)*", "ab", Some("ab,a")),
        ("a{2,3}?", "aaaa", Some("aa")),
        ("(?<x>a+)(?i:B)", "xaab", Some("aab,aa")),
    ] {
        assert_eq!(find(pattern, text).as_deref(), groups, "{pattern} {text}");
    }
}
