//! Places and cookies, rewritten as nginx 1.22.1 was seen to.

use super::*;
use crate::conf::{Cx, Raw, Source, VarId};
use crate::mem::buffers::{Pool, Scratch};
use crate::proto::regex::{self, Captures};
use crate::vars::Value;
use std::cell::{Cell, RefCell};
use std::path::Path;

/// Something whose variables are all `var`.
struct Fake {
    scratch: &'static Scratch,
    room: RefCell<regex::Scratch>,
    captures: Cell<Option<(&'static [u8], &'static Captures)>>,
}

impl Subject<'static> for Fake {
    fn scratch(&self) -> &'static Scratch {
        self.scratch
    }

    fn variable(&self, _: VarId) -> Value<'static> {
        Some(b"var")
    }

    fn capture(&self, number: u8) -> Value<'static> {
        let (text, captures) = self.captures.get()?;
        text.get(captures.get(number.into())?)
    }

    fn matches(&self, pattern: &'static Pattern, text: &'static [u8]) -> bool {
        let mut captures = Captures::default();
        let found = pattern.regex.exec(&mut self.room.borrow_mut(), text, &mut captures);
        if found {
            self.captures.set(Some((text, Box::leak(Box::new(captures)))));
        }
        found
    }
}

/// What the directives say, or what is wrong with them.
fn read(text: &str) -> Result<(Fake, &'static Loc), String> {
    let path = std::env::temp_dir().join(format!(
        "limpet-rewrites-{}-{:?}.conf",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, text).unwrap();
    let (tree, errors) = Source::file(path.clone()).read(|_| false);
    std::fs::remove_file(path).unwrap();
    let mut cx = Cx::new(Path::new("/"), Vec::new());
    cx.errors = errors;
    let mut raw = LocRaw::default();
    let own = |name: &[u8]| name != b"proxy_pass";
    let all: Vec<Node> = tree.nodes().filter(|node| own(&node.name())).collect();
    for node in all {
        let directive = LOC.iter().find(|d| d.shape.name.as_bytes() == node.name().bytes());
        let done = directive.unwrap().set(&mut raw, &mut cx, node);
        cx.report(node, done);
    }
    if let Some(error) = cx.errors.errors.first() {
        return Err(error.text.clone());
    }
    let conf = Box::leak(Box::new(raw.resolve(&Loc::default())));
    let pool = Pool::new(1, 4096).unwrap();
    let scratch = Box::leak(Box::new(Scratch::new(pool)));
    let room = RefCell::new(cx.regex_room);
    Ok((Fake { scratch, room, captures: Cell::new(None) }, conf))
}

fn shown(text: Option<&[u8]>) -> &str {
    str::from_utf8(text.unwrap()).unwrap()
}

#[test]
fn places() {
    let usual: &Usual = Box::leak(Box::new(Usual::new(b"http://up:80", false, b"/l/")));
    let with_path: &Usual = Box::leak(Box::new(Usual::new(b"http://up:80/p/", true, b"/l/")));
    for (text, usual, value, want) in [
        ("", Some(usual), "http://up:80/a", "/a"),
        ("", Some(usual), "http://up:80", "http://up:80"),
        ("", Some(usual), "HTTP://up:80/a", "HTTP://up:80/a"),
        ("", Some(with_path), "http://up:80/p/a", "/l/a"),
        ("", Some(with_path), "http://up:80/a", "http://up:80/a"),
        ("", None, "http://up:80/a", "http://up:80/a"),
        ("proxy_redirect off;", Some(usual), "http://up:80/a", "http://up:80/a"),
        ("proxy_redirect http://x/ /y/;", Some(usual), "http://x/a", "/y/a"),
        ("proxy_redirect http://x/ /y/;", Some(usual), "http://up:80/a", "http://up:80/a"),
        ("proxy_redirect '' P;", None, "/a", "P/a"),
        ("proxy_redirect /$a/ /$b-$c/;", None, "/var/z", "/var-var/z"),
        (
            "proxy_redirect ~^http://[^/]+(/.*)$ https://$host$1;",
            None,
            "http://x/a",
            "https://var/a",
        ),
        ("proxy_redirect ~18472 P; proxy_redirect / /z/;", None, "http://h:18472/a", "P"),
        ("proxy_redirect ~18472 P; proxy_redirect / /z/;", None, "/a", "/z/a"),
        ("proxy_redirect ~*UP /;", None, "http://up/", "/"),
        ("proxy_redirect ~UP /;", None, "http://up/", "http://up/"),
        (
            "proxy_pass http://x; proxy_redirect default; proxy_redirect /a /b;",
            Some(usual),
            "/a",
            "/b",
        ),
        ("proxy_pass http://x; proxy_redirect default;", Some(usual), "http://up:80/a", "/a"),
    ] {
        let (fake, conf) = read(text).unwrap();
        assert_eq!(shown(location(&fake, conf, usual, value.as_bytes())), want, "{text}");
        let (fake, conf) = read(text).unwrap();
        let value = format!("5; URL={value}").leak();
        let found = shown(refresh(&fake, conf, usual, value.as_bytes()));
        assert_eq!(found, format!("5; URL={want}"), "{text}");
        assert_eq!(shown(refresh(&fake, conf, usual, b"5")), "5");
    }
}

const COOKIES: [&str; 7] = [
    "a=b; path=/x; Secure",
    "a=b;secure ;Path=/one/two; domain=.example.com; SAMESITE=x;;x = y ",
    "a; secure",
    "a=",
    "c=1; domain=sub.Example.com; path=",
    "A=b ; httponly=; domain",
    "z=1; Domain = example.COM",
];

const SAME: &str = "";

/// What directives make of each of them.
const REWRITTEN: &[(&str, [&str; 7])] = &[
    ("", [SAME; 7]),
    ("proxy_cookie_domain off; proxy_cookie_path off; proxy_cookie_flags off;", [SAME; 7]),
    (
        "proxy_cookie_flags a secure httponly SAMEsite=lax;",
        [
            "a=b; path=/x; Secure; HttpOnly; SameSite=Lax",
            "a=b; secure; Path=/one/two; domain=.example.com; SameSite=Lax; ; x=y; HttpOnly",
            SAME,
            "a=; Secure; HttpOnly; SameSite=Lax",
            SAME,
            "A=b; httponly=; domain; Secure; SameSite=Lax",
            SAME,
        ],
    ),
    (
        "proxy_cookie_flags ~. nosecure noSAMEsite;",
        [
            "a=b; path=/x",
            "a=b; Path=/one/two; domain=.example.com; ; x=y",
            SAME,
            SAME,
            SAME,
            "A=b; httponly=; domain",
            "z=1; Domain=example.COM",
        ],
    ),
    ("proxy_cookie_flags a bogus;", [SAME; 7]),
    (
        "proxy_cookie_flags a '' httponly;",
        [
            "a=b; path=/x; Secure; HttpOnly",
            "a=b; secure; Path=/one/two; domain=.example.com; SAMESITE=x; ; x=y; HttpOnly",
            SAME,
            "a=; HttpOnly",
            SAME,
            "A=b; httponly=; domain",
            SAME,
        ],
    ),
    (
        "proxy_cookie_domain .example.com .new.org; proxy_cookie_path / /p/;",
        [
            "a=b; path=/p/x; Secure",
            "a=b; secure; Path=/p/one/two; domain=.new.org; SAMESITE=x; ; x=y",
            SAME,
            SAME,
            SAME,
            SAME,
            "z=1; Domain=new.org",
        ],
    ),
    (
        "proxy_cookie_domain ~(.*)\\.com$ $1.net; proxy_cookie_path ~*/ONE(.*) $1;",
        [
            SAME,
            "a=b; secure; Path=/two; domain=.example.net; SAMESITE=x; ; x=y",
            SAME,
            SAME,
            "c=1; domain=sub.Example.net; path=",
            SAME,
            "z=1; Domain=example.net",
        ],
    ),
    (
        "proxy_cookie_path '' /q;",
        [
            "a=b; path=/q/x; Secure",
            "a=b; secure; Path=/q/one/two; domain=.example.com; SAMESITE=x; ; x=y",
            SAME,
            SAME,
            "c=1; domain=sub.Example.com; path=/q",
            SAME,
            SAME,
        ],
    ),
];

#[test]
fn cookies() {
    for (text, wants) in REWRITTEN {
        for (value, want) in COOKIES.iter().zip(wants) {
            let (fake, conf) = read(text).unwrap();
            let want = if *want == SAME { value } else { want };
            assert_eq!(shown(cookie(&fake, conf, value.as_bytes())), *want, "{text}");
        }
    }
}

#[test]
fn cookie_flags_that_contradict() {
    for (flags, want) in [
        ("samesite=none samesite=strict", "a=; SameSite=Strict"),
        ("samesite=lax nosamesite", "a=; SameSite=Lax"),
        ("secure nosecure SECURE", "a=; Secure"),
    ] {
        let (fake, conf) = read(&format!("proxy_cookie_flags a {flags};")).unwrap();
        assert_eq!(shown(cookie(&fake, conf, b"a=")), want);
    }
}

#[test]
fn no_room() {
    let (fake, conf) = read("proxy_cookie_path / /p/;").unwrap();
    let value = format!("a=b; path=/{}", ";".repeat(4000)).leak();
    assert_eq!(cookie(&fake, conf, value.as_bytes()), None);
}

#[test]
fn directives() {
    let duplicate = |name: &str| format!("\"{name}\" directive is duplicate");
    for (text, want) in [
        ("proxy_redirect off; proxy_redirect a b;", duplicate("proxy_redirect")),
        ("proxy_redirect a b; proxy_redirect off;", duplicate("proxy_redirect")),
        ("proxy_redirect off; proxy_redirect off;", duplicate("proxy_redirect")),
        ("proxy_redirect x;", "invalid parameter \"x\"".into()),
        (
            "proxy_redirect default;",
            "\"proxy_redirect default\" should be placed after the \"proxy_pass\" directive".into(),
        ),
        (
            "proxy_pass http://$host; proxy_redirect default;",
            "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with \
             variables"
                .into(),
        ),
        ("proxy_cookie_domain x;", "invalid parameter \"x\"".into()),
        ("proxy_cookie_domain off; proxy_cookie_domain a b;", duplicate("proxy_cookie_domain")),
        ("proxy_cookie_path x;", "invalid parameter \"x\"".into()),
        ("proxy_cookie_path a b; proxy_cookie_path off;", duplicate("proxy_cookie_path")),
        ("proxy_cookie_flags a;", "invalid parameter \"a\"".into()),
        ("proxy_cookie_flags off; proxy_cookie_flags a secure;", duplicate("proxy_cookie_flags")),
    ] {
        assert_eq!(read(text).err(), Some(want), "{text}");
    }
    assert!(read("proxy_redirect ~( x;").is_err());
}
