//! What requests find: addresses, servers, locations, settings.

use super::*;
use crate::conf::{Cx, Source, Template};
use crate::http::core::{Alias, RootPath};
use crate::http::rewrite::{Code, Return};
use crate::net::listen::ListenOptions;
use crate::sys::addr::Addr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The http block of a config, and what was wrong with it.
pub fn read_all(text: &str) -> (Http, Vec<String>, Vec<String>) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("limpet-http-{}-{number}.conf", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    let (tree, errors) = Source::file(path.clone()).read(|_| false);
    std::fs::remove_file(path).unwrap();
    let mut cx = Cx::new(Path::new("/prefix"), directives().collect());
    cx.errors = errors;
    let http = read(&mut cx, tree.nodes());
    cx.errors.sort();
    let errors = cx.errors.errors.into_iter().map(|error| error.text).collect();
    (http, errors, cx.errors.warnings.into_iter().map(|warning| warning.text).collect())
}

#[track_caller]
fn http(text: &str) -> Http {
    let (http, errors, _) = read_all(text);
    assert_eq!(errors, Vec::<String>::new(), "{text}");
    http
}

#[track_caller]
fn server(text: &str) -> Rc<Server> {
    Rc::clone(&http(&format!("server {{ {text} }}")).servers[0])
}

/// The location of a URI, where no regular expression has a say.
fn location_of<'s>(server: &'s Server, uri: &[u8]) -> &'s Rc<Location> {
    let mut at = &server.location;
    while let Some(inner) = at.locations.find(uri) {
        at = inner;
    }
    at
}

/// The server of a host.
fn server_of<'s>(site: &'s Site, host: &[u8]) -> &'s Rc<Server> {
    match site.server(host) {
        Found::Name(server) => server,
        Found::Pattern(_) => &site.default_server,
    }
}

/// The `return` that comes first.
fn answer_of(location: &Location) -> Option<&Return> {
    match location.conf.rewrite.codes.first() {
        Some(Code::Return(answer)) => Some(answer),
        _ => None,
    }
}

/// The locations that URIs belong to: name and kind, `-` for the server itself.
#[track_caller]
fn check_locations(text: &str, uris: &[(&str, &str)]) {
    let server = server(text);
    for (uri, expected) in uris {
        let found = location_of(&server, uri.as_bytes());
        let name = String::from_utf8_lossy(&found.name).into_owned();
        let shown = match found.kind {
            Kind::Server => "-".to_string(),
            Kind::Exact => format!("={name}"),
            _ => name,
        };
        assert_eq!(shown, *expected, "{uri} in {text}");
    }
}

#[test]
fn the_longest_prefix_wins_and_an_exact_name_before_it() {
    check_locations(
        "location / {} location /a {} location /a/b/ {} location = /a {} location ^~ /img/ {}
         location = / {} location /ab {}",
        &[
            ("/", "=/"),
            ("/x", "/"),
            ("/a", "=/a"),
            ("/a/", "/a"),
            ("/a/b", "/a"),
            ("/a/b/", "/a/b/"),
            ("/a/b/c", "/a/b/"),
            ("/ab", "/ab"),
            ("/abc", "/ab"),
            ("/ac", "/a"),
            ("/img/x", "/img/"),
            ("/img", "/"),
            ("", "-"),
        ],
    );
    check_locations("location /a {}", &[("/", "-"), ("/b", "-"), ("/0", "-"), ("/a", "/a")]);
    check_locations("location = /a {}", &[("/a", "=/a"), ("/ab", "-"), ("/a/", "-")]);
    check_locations("location =/a {} location ^~/b {}", &[("/a", "=/a"), ("/bc", "/b")]);
    check_locations("", &[("/", "-")]);
    check_locations("location \"\" {}", &[("/", ""), ("/x", "")]);
}

#[test]
fn locations_inside_locations() {
    check_locations(
        "location /a { location /a/b { location = /a/b/c {} } location /a {} } location /a/bx {}",
        &[
            ("/a", "/a"),
            ("/a/b", "/a/b"),
            ("/a/b/c", "=/a/b/c"),
            ("/a/b/cd", "/a/b"),
            ("/a/bx", "/a/bx"),
        ],
    );
}

#[test]
fn a_slow_search_finds_the_same() {
    // Some alike in their first eight bytes, which the search compares as a number.
    let names = "/ /a /a/ /a/b /ab /b/c/d /b /c/ /c/d/e /aaaa /aa \
                 /ababab /abababa /abababab /ababababa /abababb /abababaa /ababababab";
    let names: Vec<&str> = names.split_ascii_whitespace().collect();
    let text: String = names.iter().map(|name| format!("location {name} {{}}")).collect();
    let server = server(&text);
    let mut state = 1u32;
    for _ in 0..5000 {
        let mut uri = match state % 3 {
            0 => b"/ababab".to_vec(),
            _ => vec![b'/'],
        };
        for _ in 0..state % 7 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            uri.push(b"abcde/"[(state >> 16) as usize % 6]);
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let slow = names.iter().filter(|name| uri.starts_with(name.as_bytes()));
        let slow = slow.max_by_key(|name| name.len()).unwrap();
        assert_eq!(&*location_of(&server, &uri).name, slow.as_bytes());
    }
}

#[test]
fn named_locations() {
    let server = server("location @b {} location / {} location @a { return 201; }");
    assert_eq!(server.find_named(b"@a").unwrap().kind, Kind::Named);
    assert!(server.find_named(b"@c").is_none());
    assert_eq!(location_of(&server, b"@a").kind, Kind::Server);
    let (http, errors, warnings) =
        read_all("server { location @a { return 201; } location @a { return 202; } }");
    assert_eq!((errors.len(), warnings), (0, vec!["duplicate location \"@a\"".to_string()]));
    let first = http.servers[0].find_named(b"@a").unwrap();
    assert_eq!(answer_of(first).unwrap().status, 201);
}

#[test]
fn settings_come_from_the_nearest_level() {
    let http = http(
        "server { etag on; location / { location /a { sendfile off; } } location /b { index x; } }
         etag off; sendfile on; index z; keepalive_timeout 5 6; client_header_timeout 3;
         server { client_header_timeout 4; return 200; location / {} }",
    );
    let [first, second] = &http.servers[..] else { panic!() };
    let (outer, a) = (&first.location, location_of(first, b"/a"));
    let (slash, b) = (location_of(first, b"/"), location_of(first, b"/b"));
    assert!(outer.conf.core.etag && a.conf.core.etag && !second.location.conf.core.etag);
    assert!(slash.conf.core.sendfile && !a.conf.core.sendfile);
    assert_eq!((a.conf.core.keepalive_timeout, a.conf.core.keepalive_header), (5000, 6));
    assert_eq!(**b.conf.index.files, [Template::from(b"x".as_slice())]);
    assert_eq!(**a.conf.index.files, [Template::from(b"z".as_slice())]);
    // A level that says nothing has the very settings of the one above.
    assert!(Rc::ptr_eq(&slash.conf.core, &outer.conf.core));
    assert!(Rc::ptr_eq(&a.conf.index, &outer.conf.index));
    assert_eq!(first.conf.core.client_header_timeout, 3000);
    assert_eq!(second.conf.core.client_header_timeout, 4000);
    // `return` is not inherited.
    assert!(answer_of(&second.location).is_some());
    assert!(answer_of(location_of(second, b"/")).is_none());
}

#[test]
fn paths() {
    let server = server(
        "root rel/; location /a/ { alias /b/; location /a/c { } } location /d { root /e; }
         location /f { root /; }",
    );
    let root = |uri: &str| {
        let root = &location_of(&server, uri.as_bytes()).conf.core.root;
        let RootPath::Is(path) = &root.path else { panic!("{root:?}") };
        (String::from_utf8_lossy(path).into_owned(), root.alias)
    };
    assert_eq!(root("/"), ("/prefix/rel".to_string(), Alias::None));
    assert_eq!(root("/a/"), ("/b/".to_string(), Alias::Name(3)));
    assert_eq!(root("/a/c"), ("/b/".to_string(), Alias::Name(3)));
    assert_eq!(root("/d"), ("/e".to_string(), Alias::None));
    assert_eq!(root("/f"), (String::new(), Alias::None));
}

#[test]
fn types_and_pages() {
    let server = server(
        "location /a { types { a/b x Y; } types { c/d z; } default_type q/r; }
         error_page 404 403 =200 /x?y; error_page 500 =  @n; error_page 502 http://z/?a;
         error_page 497 /b;",
    );
    let core = &location_of(&server, b"/a").conf.core;
    let kind = |extension: &[u8]| core.types.find(extension).map(|kind| kind.to_vec());
    assert_eq!(kind(b"X"), Some(b"a/b".to_vec()));
    assert_eq!(kind(b"y"), Some(b"a/b".to_vec()));
    assert_eq!(
        (kind(b"z"), kind(b"html"), kind(&[b'x'; 100])),
        (Some(b"c/d".to_vec()), None, None)
    );
    assert!(server.location.conf.core.types.find(b"html").is_some());
    let pages = core.error_pages.iter().map(|page| {
        let uri = String::from_utf8_lossy(page.uri.literal().unwrap()).into_owned();
        (page.status, page.overwrite, uri)
    });
    let pages: Vec<_> = pages.collect();
    let page = |status, overwrite, uri: &str| (status, overwrite, uri.to_string());
    assert_eq!(
        pages,
        [
            page(404, Some(200), "/x?y"),
            page(403, Some(200), "/x?y"),
            page(500, Some(0), "@n"),
            page(502, None, "http://z/?a"),
            page(497, Some(400), "/b"),
        ]
    );
}

#[test]
fn answers() {
    let answer = |text: &str| {
        let server = server(text);
        let answer = answer_of(&server.location).unwrap();
        (answer.status, String::from_utf8_lossy(answer.text.literal().unwrap()).into_owned())
    };
    assert_eq!(answer("return 204;"), (204, String::new()));
    assert_eq!(answer("return 200 'a b';"), (200, "a b".into()));
    assert_eq!(answer("return 301 /x;"), (301, "/x".into()));
    assert_eq!(answer("return https://x/;"), (302, "https://x/".into()));
    assert_eq!(answer("return 201; return 202;"), (201, String::new()));
}

#[test]
fn access_logs() {
    let http = http(
        "server { access_log /a; access_log /b combined buffer=4k flush=1m;
         location / { access_log off; }
         location /c { access_log off; access_log /c; } } server {}",
    );
    let logs = |uri: &str| location_of(&http.servers[0], uri.as_bytes()).conf.log.access_logs.len();
    assert_eq!((logs("x"), logs("/"), logs("/c")), (2, 0, 0));
    assert_eq!(http.servers[1].location.conf.log.access_logs.len(), 1);
}

fn addr(text: &str) -> Addr {
    Addr::parse(text, 80).unwrap()
}

#[test]
fn one_socket_per_address_unless_a_wildcard_covers_it() {
    let http = http(
        "server { listen 127.0.0.1:81; listen 127.0.0.2:81 bind; listen 81; server_name a; }
         server { listen 127.0.0.1:81 default_server; server_name b; }
         server { listen [::1]:81; listen unix:/x; listen 127.0.0.1:82; server_name c; }",
    );
    let sockets: Vec<_> = http
        .listening
        .iter()
        .map(|it| (it.addr.to_string(), it.sites.iter().map(|s| s.addr.to_string()).collect()))
        .collect();
    let socket = |addr: &str, sites: &[&str]| {
        (addr.to_string(), sites.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(
        sockets,
        [
            socket("127.0.0.2:81", &["127.0.0.2:81"]),
            socket("0.0.0.0:81", &["127.0.0.1:81", "0.0.0.0:81"]),
            socket("[::1]:81", &["[::1]:81"]),
            socket("unix:/x", &["unix:/x"]),
            socket("127.0.0.1:82", &["127.0.0.1:82"]),
        ]
    );
    let wildcard = &http.listening[1];
    assert_eq!(&*wildcard.site(&addr("127.0.0.1:81")).default_server.name, b"b");
    assert_eq!(&*wildcard.site(&addr("127.0.0.9:81")).default_server.name, b"a");
}

#[test]
fn names_exact_then_leading_then_trailing_longest_first() {
    let http = http(
        "server { listen 81; server_name default; }
         server { listen 81; server_name exact.example.com; }
         server { listen 81; server_name *.example.com; }
         server { listen 81; server_name *.a.example.com; }
         server { listen 81; server_name www.*; }
         server { listen 81; server_name .both.org; }
         server { listen 81; server_name WWW.Example.*; }",
    );
    let site = &http.listening[0].sites[0];
    let cases = [
        ("exact.example.com", "exact.example.com"),
        ("x.example.com", "*.example.com"),
        ("x.y.example.com", "*.example.com"),
        ("x.a.example.com", "*.a.example.com"),
        ("a.example.com", "*.example.com"),
        ("example.com", "default"),
        ("www.example.com", "*.example.com"),
        ("www.example.net", "www.example.*"),
        ("www.other.net", "www.*"),
        ("www", "default"),
        ("both.org", "both.org"),
        ("x.y.both.org", "both.org"),
        ("xboth.org", "default"),
        ("", "default"),
        ("nowhere", "default"),
    ];
    for (host, expected) in cases {
        let found = String::from_utf8_lossy(&server_of(site, host.as_bytes()).name);
        assert_eq!(found, expected, "{host}");
    }
}

#[test]
fn names_that_conflict() {
    let (http, errors, warnings) = read_all(
        "server { listen 81; } server { listen 81; server_name a; }
         server { listen 81; server_name a .b; } server { listen 81; server_name '' b x*y; }",
    );
    assert_eq!(errors, ["invalid server name or wildcard \"x*y\" on 0.0.0.0:81"]);
    assert_eq!(
        warnings,
        [
            "conflicting server name \"a\" on 0.0.0.0:81, ignored",
            "conflicting server name \"\" on 0.0.0.0:81, ignored",
            "conflicting server name \"b\" on 0.0.0.0:81, ignored",
        ]
    );
    let site = &http.listening[0].sites[0];
    assert!(Rc::ptr_eq(server_of(site, b"a"), &http.servers[1]));
    assert!(Rc::ptr_eq(server_of(site, b""), &http.servers[0]));
    assert!(Rc::ptr_eq(server_of(site, b"x.b"), &http.servers[2]));
}

#[test]
fn options_of_sockets() {
    let http = http(
        "server { listen 127.0.0.1:81 backlog=5 rcvbuf=8k sndbuf=1m fastopen=3 deferred reuseport
                  so_keepalive=1m:2:3 default_server; }
         server { listen 127.0.0.1:81; listen [::]:82 ipv6only=off so_keepalive=off;
                  listen 83-85; }",
    );
    let expected = ListenOptions {
        backlog: 5,
        rcvbuf: Some(8192),
        sndbuf: Some(1 << 20),
        fastopen: Some(3),
        deferred: true,
        reuseport: true,
        bind: true,
        so_keepalive: Some(true),
        tcp_keepidle: 60,
        tcp_keepintvl: 2,
        tcp_keepcnt: 3,
        ..ListenOptions::default()
    };
    assert_eq!(http.listening[0].options, expected);
    assert!(!http.listening[1].options.ipv6only);
    assert_eq!(http.listening[1].options.so_keepalive, Some(false));
    let ports: Vec<u16> = http.listening.iter().map(|it| it.addr.port()).collect();
    assert_eq!(ports, [81, 82, 83, 84, 85]);
}
