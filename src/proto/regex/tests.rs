//! Expressions and texts against what PCRE makes of them.
use super::*;

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern.as_bytes(), false).unwrap_or_else(|error| panic!("{pattern}: {error:?}"))
}

/// The groups of the first match, as text; `-` for unset ones.
fn groups(regex: &Regex, text: &[u8], found: bool, captures: &Captures) -> Option<String> {
    let group = |index| match captures.get(index) {
        Some(range) => String::from_utf8_lossy(&text[range]).into_owned(),
        None => "-".into(),
    };
    found.then(|| (0..=regex.groups()).map(group).collect::<Vec<_>>().join(","))
}

/// What both machines find, which must be the same.
fn find(pattern: &str, text: &str) -> Option<String> {
    let (regex, text) = (compile(pattern), text.as_bytes());
    let (mut scratch, mut captures) = (Scratch::new(), Captures::default());
    scratch.reserve_for(&regex);
    let found = regex.exec(&mut scratch, text, &mut captures);
    assert_eq!(regex.is_match(&mut scratch, text), found, "{pattern}");
    let result = groups(&regex, text, found, &captures);
    scratch.rows.start();
    let found = pike::run(&regex.program, &mut scratch, text);
    if found {
        regex.record(&mut scratch, text, &mut captures);
    }
    assert_eq!(groups(&regex, text, found, &captures), result, "{pattern} on {text:?}");
    result
}

fn check(cases: &[(&str, &str, Option<&str>)]) {
    for (pattern, text, groups) in cases {
        assert_eq!(find(pattern, text).as_deref(), *groups, "{pattern} on {text:?}");
    }
}

#[test]
fn what_configurations_write() {
    check(&[
        ("^/api/(.*)$", "/api/users/1", Some("/api/users/1,users/1")),
        ("^/api/(.*)$", "/app/users", None),
        (r"\.(gif|jpe?g|png)$", "/images/x.jpeg", Some(".jpeg,jpeg")),
        (r"\.(gif|jpe?g|png)$", "/images/x.pngs", None),
        (r"\.(gif|jpe?g|png)$", "/images/x.png.gif", Some(".gif,gif")),
        (r"\.php$", "/index.php", Some(".php")),
        (r"^(.+\.php)(/.+)$", "/a.php/b.php/c", Some("/a.php/b.php/c,/a.php/b.php,/c")),
        (r"^(.+?\.php)(/.+)$", "/a.php/b.php/c", Some("/a.php/b.php/c,/a.php,/b.php/c")),
        (r"^/v(\d{1,2})/(?:(\w+)/)?x$", "/v12/x", Some("/v12/x,12,-")),
        (r"^/(?!api|static)(.*)$", "/users/1", Some("/users/1,users/1")),
        (r"^/(?!api|static)(.*)$", "/apiary", None),
        (r"^/(?!.*\.(?:js|css)$).*", "/a/b.js", None),
        (r"^/(?!.*\.(?:js|css)$).*", "/a/b.jsx", Some("/a/b.jsx")),
        (r"(?<!\.min)\.js$", "/app.min.js", None),
        (r"(?<!\.min)\.js$", "/app.js", Some(".js")),
        (r"^(?<sub>[^.]+)\.example\.com$", "www.example.com", Some("www.example.com,www")),
        (r"^www\.(?P<name>.+)$", "www.a.org", Some("www.a.org,a.org")),
        (r"^/[^/]++/x$", "/abc/x", Some("/abc/x")),
        (r"(?i)\.PHP$", "/index.php", Some(".php")),
        (r"^~?([a-z0-9_-]+)(@\d+)?$", "~user", Some("~user,user,-")),
    ]);
}

#[test]
fn the_first_way_wins() {
    check(&[
        ("a|ab", "ab", Some("a")),
        ("(a|ab)(c|bcd)(d*)", "abcd", Some("abcd,a,bcd,")),
        ("a*?", "aaa", Some("")),
        ("a{2,3}?", "aaaa", Some("aa")),
        ("x*", "axx", Some("")),
        ("(a+)(a+)?", "aaa", Some("aaa,aaa,-")),
        ("(a+?)(a+)?", "aaa", Some("aaa,a,aa")),
        ("(?U)(a+)(a+?)?", "aaa", Some("a,a,-")),
        ("(?:(a)|b)*", "ab", Some("ab,a")),
        (r"a\Kb", "xab", Some("b")),
        (".*foo", "x\nafoo", Some("afoo")),
        ("(?s).*foo", "x\nafoo", Some("x\nafoo")),
    ]);
}

#[test]
fn an_empty_turn_is_the_last() {
    check(&[
        ("(a*)*", "aab", Some("aa,")),
        ("(a*)+", "b", Some(",")),
        ("(a|b*)*", "abc", Some("ab,")),
        ("(?:|a)*", "a", Some("")),
        ("(|a)+", "aa", Some(",")),
        ("(a|)+b", "aab", Some("aab,")),
        ("((a*)*)*b", "aab", Some("aab,,")),
        ("(a?){3}", "aa", Some("aa,")),
        (r"(\b|a)*x", "aax", Some("aax,a")),
        ("(?:a?)*?b", "aab", Some("aab")),
        ("(?=a)*a", "a", Some("a")),
    ]);
}

#[test]
fn atomic_groups_and_lookaround() {
    check(&[
        ("(?>a|ab)c", "abc", None),
        ("(?>a*)a", "aaa", None),
        ("(?>(a+)|b)(a?)", "aaa", Some("aaa,aaa,")),
        ("(?:a|aa)++b", "aaaab", Some("aaaab")),
        ("a?+a", "a", None),
        ("[ab]{1,2}+b", "abb", Some("abb")),
        ("[ab]{1,3}+b", "abb", None),
        ("(?=(a+))a*b", "aab", Some("aab,aa")),
        ("(?=(a+)(b))a", "xaab", Some("a,aa,b")),
        ("(?<=(ab|cd))e", "cde", Some("e,cd")),
        ("(?<=a|bc)d", "xbcd", Some("d")),
        ("(?<!a)b", "abb", Some("b")),
        ("^(?!(a)b)a", "ac", Some("a,-")),
        ("(?:(?!.*x)a)+", "axaa", Some("aa")),
        ("(?!)", "a", None),
        (r"\R(x)", "\r\nx", Some("\r\nx,x")),
        (r"\R\n", "\r\n", None),
        ("[[:<:]]b[[:>:]]", "ab b", Some("b")),
    ]);
}

#[test]
fn places() {
    check(&[
        ("a$", "a\n", Some("a")),
        (r"a\z", "a\n", None),
        (r"a\Z", "a\n", Some("a")),
        ("^b", "a\nb", None),
        ("(?m)^b$", "a\nb\nc", Some("b")),
        ("(?m)^", "\n", Some("")),
        (r"\bb", "ab b", Some("b")),
        (r"\Bb", "b ab", Some("b")),
        (r"\Aa|\Gb", "b", Some("b")),
        ("$", "a\n", Some("")),
        ("", "", Some("")),
    ]);
}

#[test]
fn what_a_byte_may_be() {
    check(&[
        (".", "\n", None),
        ("(?s).", "\n", Some("\n")),
        (r"\N\d\D\w\W\s\S\h\H\v\V", "a1b2- c\td\ne", Some("a1b2- c\td\ne")),
        ("[]a]+[^]a]", "a]b", Some("a]b")),
        ("[a-c-]+", "d-ab", Some("-ab")),
        (r"[\w-]+", "a-b", Some("a-b")),
        (r"[\d\]]+", "1]", Some("1]")),
        ("[[:alpha:][:digit:]]+", "-a1-", Some("a1")),
        ("[[:^alpha:]]+", "a-b", Some("-")),
        (r"[\Qa]\E]+", "]a", Some("]a")),
        (r"\x41\x{42}\o{103}\104\a\e\cA\0", "ABCD\x07\x1b\x01\0", Some("ABCD\x07\x1b\x01\0")),
        (r"[\b]", "\x08", Some("\x08")),
        (r"\Qa.b*\E+", "a.b**", Some("a.b**")),
        ("a{,2}b{x", "a{,2}b{x", Some("a{,2}b{x")),
        ("(?i)[a-c]D(?-i)e", "BdE Bde", Some("Bde")),
        ("a(?i:b)c", "aBc", Some("aBc")),
        ("(?x) a b # c\n c", "abc", Some("abc")),
        ("(?xx)[a b]+", "a b", Some("a")),
        ("a(?#x)+", "aa", Some("aa")),
        ("(?n)(a)(?<x>b)", "ab", Some("ab,b")),
        ("(?|(a)|(b))(c)", "bc", Some("bc,b,c")),
    ]);
}

#[test]
fn names_and_numbers() {
    let regex = compile("(?<a>x)(y)(?'b'z)(?P<c>)");
    let names: Vec<_> = regex.names().iter().map(|(name, group)| (&**name, *group)).collect();
    assert_eq!(names, [(&b"a"[..], 1), (b"b", 3), (b"c", 4)]);
    assert_eq!(regex.groups(), 4);
    // Groups beyond those that are recorded match all the same.
    let many = compile(&"(a)".repeat(40));
    let (mut scratch, mut captures) = (Scratch::new(), Captures::default());
    scratch.reserve_for(&many);
    assert!(many.exec(&mut scratch, "a".repeat(40).as_bytes(), &mut captures));
    assert_eq!(captures.get(CAPTURES - 1), Some(30..31));
    assert_eq!(captures.get(CAPTURES), None);
}

#[test]
fn a_failed_match_leaves_the_captures() {
    let (a, b) = (compile("(a)"), compile("(b)"));
    let (mut scratch, mut captures) = (Scratch::new(), Captures::default());
    assert!(a.exec(&mut scratch, b"xa", &mut captures));
    assert!(!b.exec(&mut scratch, b"xa", &mut captures));
    assert_eq!(captures.get(1), Some(1..2));
}

#[test]
fn refused_in_pcres_words() {
    for (pattern, at, text) in [
        ("(a", 2, "missing closing parenthesis"),
        ("a)", 1, "unmatched closing parenthesis"),
        ("[a", 2, "missing terminating ] for character class"),
        ("[]", 2, "missing terminating ] for character class"),
        ("*", 0, "quantifier does not follow a repeatable item"),
        ("a**", 2, "quantifier does not follow a repeatable item"),
        ("^+", 1, "quantifier does not follow a repeatable item"),
        ("a{3,2}", 5, "numbers out of order in {} quantifier"),
        ("a{65536}", 7, "number too big in {} quantifier"),
        ("[z-a]", 3, "range out of order in character class"),
        (r"[\d-z]", 3, "invalid range in character class"),
        ("[[:foo:]]", 3, "unknown POSIX class name"),
        ("a\\", 2, "\\ at end of pattern"),
        (r"\y", 1, "unrecognized character follows \\"),
        (r"\x{100}", 6, "character code point value in \\x{} or \\o{} is too large"),
        ("(?z)", 2, "unrecognized character after (? or (?-"),
        ("(?<1>a)", 3, "subpattern name must start with a non-digit"),
        ("(?<a>.)(?<a>.)", 12, "two named subpatterns have the same name"),
        ("x(?<=a*)", 1, "lookbehind assertion is not fixed length"),
    ] {
        let error = Regex::new(pattern.as_bytes(), false).err();
        assert_eq!(error, Some(Error { at, text: text.into() }), "{pattern}");
    }
}

#[test]
fn refused_by_name() {
    for (pattern, what) in [
        (r"(a)\1", "back references"),
        (r"(?<n>a)\k<n>", "back references"),
        ("(?P=n)", "back references"),
        ("(?R)", "recursion"),
        ("(a)(?1)", "recursion"),
        ("(?(1)a)", "conditional groups"),
        ("(?C1)", "callouts"),
        (r"\p{L}", "Unicode properties"),
        ("(*UTF8)a", "(*UTF8)"),
        ("a(*SKIP)", "(*SKIP)"),
        ("(?J)", "(?J)"),
        ("(?:(?=(a)).)*", "capturing groups in a repeated lookaround"),
    ] {
        let text = Regex::new(pattern.as_bytes(), false).err().map(|error| error.text);
        let text = text.unwrap_or_default();
        assert!(text.starts_with(what) && text.ends_with("not supported"), "{pattern}: {text}");
    }
}

#[test]
fn no_expression_is_too_much() {
    for (pattern, text) in [
        ("(".repeat(100_000), "parentheses are too deeply nested"),
        ("(?:".repeat(200) + "a" + &")+".repeat(200), ""),
        ("(?:".repeat(200) + "a" + &")*".repeat(200), "regular expression is too large"),
        ("(?:(?:(?:){65535}){65535}){65535}".into(), "regular expression is too large"),
        ("(?:(?:a{1000}){1000}){1000}".into(), "regular expression is too large"),
        ("(?=".repeat(200) + "a" + &")".repeat(200), ""),
        ("(?>a|".repeat(200) + &")".repeat(200), ""),
        ("a".repeat(100_000), "regular expression is too large"),
        ("(?:a|b)".repeat(2000), ""),
    ] {
        let error = Regex::new(pattern.as_bytes(), false).err().map(|error| error.text);
        let start = &pattern[..pattern.len().min(20)];
        assert_eq!(error.unwrap_or_default(), text, "{start}");
    }
}

/// What a backtracking engine never ends with. Were one of these not linear,
/// the test would not end either.
#[test]
fn time_is_linear() {
    let patterns = [
        "(a+)+$",
        "(a|a)*b",
        "(a|aa)+$",
        "(.*){1,8}[bc]",
        "((a*)*)*b",
        "(a?){10}a{10}b",
        "[^/]*b",
        "(?:(?=a*b)a)*c",
        "(?:(?>a*)a)*b",
        "(?>(?:a|aa)*)b",
        "(?:(?<=aaaa)a|a)*b",
        "(?=(a+))a*b",
    ];
    let mut text = vec![b'a'; 64 * 1024];
    if let Some(last) = text.last_mut() {
        *last = b'!';
    }
    for pattern in patterns {
        let regex = compile(pattern);
        let mut scratch = Scratch::new();
        scratch.reserve_for(&regex);
        assert!(!regex.is_match(&mut scratch, &text), "{pattern}");
        assert!(!regex.is_match(&mut scratch, &text[text.len() - 4096..]), "{pattern}");
    }
}

#[test]
fn lookaround_in_long_texts() {
    let mut text = vec![b'a'; 3 * rows::WINDOW];
    text.extend(b"xb");
    for (pattern, start) in [
        ("(?=[^b]x)a(x)", 3 * rows::WINDOW - 1),
        ("(?<=ax)(?:(?=(b)$)b|c)", 3 * rows::WINDOW + 1),
        ("(?=a*(x))a", 0),
        ("(?!a*xb)", 3 * rows::WINDOW + 1),
        ("(?!a+xb)x?", 3 * rows::WINDOW),
    ] {
        let regex = compile(pattern);
        let (mut scratch, mut captures) = (Scratch::new(), Captures::default());
        scratch.reserve_for(&regex);
        assert!(regex.exec(&mut scratch, &text, &mut captures), "{pattern}");
        assert_eq!(captures.get(0).map(|range| range.start), Some(start), "{pattern}");
    }
}

/// No bytes make the parser panic, and what it takes can be run.
#[test]
fn random_expressions() {
    let pieces = [
        "a",
        "b",
        "(",
        ")",
        "(?:",
        "[",
        "]",
        "^",
        "-",
        "\\",
        "*",
        "+",
        "?",
        "{",
        "}",
        ",",
        "2",
        "|",
        "$",
        ".",
        "(?",
        "(?i",
        "(?<",
        "=",
        "!",
        ">",
        ":",
        "#",
        "\\Q",
        "\\E",
        "\\x{",
        "\\d",
        "\\b",
        "[:alpha:]",
        "(?>",
        "(?=",
        "(?<!",
        "\\R",
        "\\K",
        "(?|",
        "(?x)",
        " ",
    ];
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let (mut scratch, mut compiled) = (Scratch::new(), 0);
    for _ in 0..20_000 {
        let length = 1 + next(10);
        let pattern: String = (0..length).map(|_| pieces[next(pieces.len())]).collect();
        if let Ok(regex) = Regex::new(pattern.as_bytes(), next(2) == 0) {
            compiled += 1;
            scratch.reserve_for(&regex);
            regex.is_match(&mut scratch, b"ab-aab\n(b]2");
        }
    }
    assert!(compiled > 1000, "{compiled}");
}
