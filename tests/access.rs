//! Who may: `allow`, `deny`, `auth_basic`, `satisfy`, `limit_except`.
use crate::allocations::allocations;
use crate::common::*;
use std::time::{Duration, Instant};

/// Of `htpasswd -B`, `openssl passwd -apr1`, `openssl passwd -6` and by hand.
const USERS: &str = "# comment:{PLAIN}x
plain:{PLAIN}pass:who this is\r
apr:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/
bcrypt:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW
md5:$1$salt$ez2vlPGdaLYkJam5pWs/Y1
sha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=
ssha:{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0
locked:*
last:{PLAIN}end";

fn start(locations: &str) -> Limpet {
    let place = Place::new();
    place.write("html/file", "content");
    place.write("html/page", "page");
    place.write("users", USERS);
    Limpet::start_in(place, &config(locations))
}

fn config(locations: &str) -> String {
    format!(
        "events {{ }}
         http {{ access_log off; root @DIR@/html; keepalive_requests 1000000;
             server {{ listen [::]:8080 ipv6only=off; listen unix:@DIR@/sock; {locations} }} }}"
    )
}

fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}\r\n", base64(pair.as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bits);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit > chunk.len() { '=' } else { DIGITS[value] as char });
        }
    }
    text
}

/// One request with more lines in its head.
fn ask(limpet: &Limpet, method: &str, target: &str, lines: &str) -> Response {
    let mut client = limpet.client();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    client.try_response(method == "HEAD").unwrap()
}

fn status(limpet: &Limpet, target: &str, lines: &str) -> u16 {
    ask(limpet, "GET", target, lines).status
}

#[test]
fn passwords_in_every_form() {
    let limpet = start("auth_basic \"The realm\"; auth_basic_user_file users;");
    for (pair, wanted) in [
        ("plain:pass", 200),
        ("plain:pas", 401),
        ("plain:", 401),
        ("plain:pass:who this is", 401),
        ("apr:secret", 200),
        ("apr:Secret", 401),
        ("bcrypt:secret", 200),
        ("bcrypt:secrets", 401),
        ("md5:secret", 200),
        ("md5:", 401),
        ("sha:secret", 200),
        ("sha:x", 401),
        ("ssha:secret", 200),
        ("ssha:x", 401),
        ("locked:*", 401),
        ("last:end", 200),
        ("las:end", 401),
        ("# comment:x", 401),
        (":", 401),
        ("plain", 401),
        ("", 401),
    ] {
        assert_eq!(status(&limpet, "/file", &basic(pair)), wanted, "{pair}");
    }
    let refused = limpet.get("/file");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("WWW-Authenticate"), "Basic realm=\"The realm\"");
    for line in ["Basic", "basic cGxhaW46cGFzcw==", "Basic  cGxhaW46cGFzcw", "Basic ?", "Bearer x"]
    {
        let wanted = if line.contains("cGxh") { 200 } else { 401 };
        let line = format!("Authorization: {line}\r\n");
        assert_eq!(status(&limpet, "/file", &line), wanted, "{line}");
    }
    for (words, level) in [
        ("user \"plain\": password mismatch, client: ", "error"),
        ("user \"las\" was not found in \"", "error"),
        ("no user/password was provided for basic authentication, client", "info"),
    ] {
        assert_eq!(limpet.log.wait(words).level, level);
    }
}

#[test]
fn realms_and_files_may_be_variables() {
    let limpet = start(
        "auth_basic $arg_realm; auth_basic_user_file @DIR@/$arg_file;
         location /off { auth_basic off; alias @DIR@/html/file; }
         location /none { auth_basic_user_file none; auth_basic R; }
         location /dir { auth_basic_user_file html; auth_basic R; }
         location /nofile { alias @DIR@/html/file; }",
    );
    let plain = &basic("plain:pass");
    assert_eq!(status(&limpet, "/off", ""), 200);
    assert_eq!(status(&limpet, "/file?realm=off", ""), 200);
    assert_eq!(status(&limpet, "/file?realm=on&file=users", plain), 200);
    assert_eq!(status(&limpet, "/file?realm=on&file=nothing", plain), 403);
    assert_eq!(status(&limpet, "/none", plain), 403);
    assert_eq!(status(&limpet, "/none", ""), 401, "the file is looked for when it is needed");
    assert_eq!(status(&limpet, "/dir", plain), 500);
    let refused = limpet.get("/file?realm=a%20b");
    assert_eq!(refused.header("WWW-Authenticate"), "Basic realm=\"a%20b\"");
    let line = limpet.log.wait("/none\" failed (2: No such file or directory), client: ");
    assert_eq!(line.level, "error");
    assert!(line.text.contains("open() \""), "{}", line.text);
    assert_eq!(limpet.log.wait("failed (21: Is a directory)").level, "crit");
}

#[test]
fn a_change_of_the_file_is_seen_at_once() {
    let limpet = start("auth_basic R; auth_basic_user_file users;");
    let (old, new) = (&basic("plain:pass"), &basic("plain:new"));
    for _ in 0..20 {
        assert_eq!((status(&limpet, "/file", old), status(&limpet, "/file", new)), (200, 401));
        limpet.place.write("users", "plain:{PLAIN}new");
        assert_eq!((status(&limpet, "/file", old), status(&limpet, "/file", new)), (401, 200));
        limpet.place.write("users.next", USERS);
        std::fs::rename(limpet.place.path("users.next"), limpet.place.path("users")).unwrap();
    }
    let many: String = (0..5000).map(|n| format!("user{n}:{{PLAIN}}{}\n", n * 7)).collect();
    limpet.place.write("users", many);
    for n in [0, 1, 1234, 4999] {
        assert_eq!(status(&limpet, "/file", &basic(&format!("user{n}:{}", n * 7))), 200);
        assert_eq!(status(&limpet, "/file", &basic(&format!("user{n}:{}", n * 7 + 1))), 401);
    }
    std::fs::remove_file(limpet.place.path("users")).unwrap();
    assert_eq!(status(&limpet, "/file", old), 403);
}

#[test]
fn networks_are_allowed_and_denied() {
    let limpet = start(
        "location / { deny all; }
         location /v4 { alias @DIR@/html/file; allow 127.0.0.0/8; deny all; }
         location /not { alias @DIR@/html/file; deny 127.0.0.1; allow all; }
         location /v6 { alias @DIR@/html/file; allow ::1; deny ::/0; }
         location /six { alias @DIR@/html/file; deny ::ffff:0:0/96; }
         location /unix { alias @DIR@/html/file; allow unix:; deny all; }
         location /in/ { allow all; location /in/er { alias @DIR@/html/file; } }",
    );
    let statuses = |mut ask: Box<dyn FnMut(&str) -> u16>| {
        ["/file", "/v4", "/not", "/v6", "/six", "/unix", "/in/er"].map(&mut *ask)
    };
    let port = limpet.port(8080);
    let by = |address: &'static str| {
        Box::new(move |target: &str| {
            Client::try_connect((address, port)).unwrap().get(target).status
        })
    };
    assert_eq!(statuses(by("127.0.0.1")), [403, 200, 403, 403, 403, 403, 200]);
    assert_eq!(statuses(by("::1")), [403, 403, 200, 200, 200, 403, 200]);
    let socket = limpet.place.path("sock");
    let by_unix = move |target: &str| Client::connect_unix(&socket).get(target).status;
    assert_eq!(statuses(Box::new(by_unix)), [403, 403, 200, 200, 200, 200, 200]);
    let line = limpet.log.wait("access forbidden by rule, client: ");
    assert_eq!(line.level, "error");
}

#[test]
fn any_or_all_must_be_satisfied() {
    let limpet = start(
        "auth_basic R; auth_basic_user_file users; error_page 402 /x;
         location /any/deny { satisfy any; deny all; alias @DIR@/html/file; }
         location /any/allow { satisfy any; allow all; alias @DIR@/html/file; }
         location /any/none { satisfy any; allow 1.2.3.4; alias @DIR@/html/file; }
         location /any/rules { satisfy any; auth_basic off; deny all; }
         location /all/allow { allow all; alias @DIR@/html/file; }
         location /all/deny { deny all; alias @DIR@/html/file; }",
    );
    let plain = &basic("plain:pass");
    for (target, without, with) in [
        ("/any/deny", 401, 200),
        ("/any/allow", 200, 200),
        ("/any/none", 401, 200),
        ("/any/rules", 403, 403),
        ("/all/allow", 401, 200),
        ("/all/deny", 403, 403),
    ] {
        assert_eq!(status(&limpet, target, ""), without, "{target}");
        assert_eq!(status(&limpet, target, plain), with, "{target}");
    }
    assert!(!ask(&limpet, "GET", "/any/allow", "").has("WWW-Authenticate"));
    assert!(!ask(&limpet, "GET", "/all/deny", "").has("WWW-Authenticate"));
    assert_eq!(limpet.log.wait_count("access forbidden by rule", 5).len(), 5);
}

#[test]
fn the_unauthorized_wait() {
    let limpet = start(
        "auth_basic R; auth_basic_user_file users; auth_delay 300ms;
         location /page { error_page 401 /page; auth_delay 0; alias @DIR@/html/file; }",
    );
    let began = Instant::now();
    assert_eq!(status(&limpet, "/file", &basic("plain:pass")), 200);
    assert!(began.elapsed() < Duration::from_millis(250));
    let refused = limpet.get("/file");
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!((refused.status, refused.has("WWW-Authenticate")), (401, true));
    assert_eq!(limpet.log.wait("delaying unauthorized request, client").level, "info");
}

#[test]
fn an_error_page_keeps_the_challenge() {
    let limpet = start(
        "location = /page { }
         location / { error_page 401 /page; auth_basic R; auth_basic_user_file users; }",
    );
    let refused = limpet.get("/file");
    assert_eq!((refused.status, refused.text().as_str()), (401, "page"));
    assert_eq!(refused.header("WWW-Authenticate"), "Basic realm=\"R\"");
}

/// Who has been asked before `auth_request` is not asked again after it.
#[test]
fn a_subrequest_does_not_ask_twice() {
    let limpet = start(
        "auth_basic R; auth_basic_user_file users;
         location /all { auth_request /yes; alias @DIR@/html/file; }
         location /any { satisfy any; deny all; auth_request /no; alias @DIR@/html/file; }
         location /any/yes { satisfy any; deny all; auth_request /yes; alias @DIR@/html/file; }
         location /yes { return 204; }
         location /no { return 403; }",
    );
    assert_eq!(status(&limpet, "/all", &basic("plain:pass")), 200);
    let refused = ask(&limpet, "GET", "/any", &basic("plain:wrong"));
    let challenges = refused.headers.iter().filter(|(name, _)| name == "WWW-Authenticate");
    assert_eq!((refused.status, challenges.count()), (401, 1));
    let granted = ask(&limpet, "GET", "/any/yes", &basic("plain:wrong"));
    assert_eq!((granted.status, granted.has("WWW-Authenticate")), (200, false));
    assert_eq!(status(&limpet, "/all", &basic("nobody:x")), 401);
    limpet.log.wait("\"nobody\" was not found");
    assert_eq!(limpet.log.count("password mismatch"), 2);
}

#[test]
fn methods_may_have_settings_of_their_own() {
    let limpet = start(
        "location / { limit_except GET { deny all; } }
         location /named { alias @DIR@/html/file;
             limit_except post Delete { auth_basic R; auth_basic_user_file users; } }
         location /rewritten { return 402; limit_except PUT { allow all; } }",
    );
    for (method, target, wanted) in [
        ("GET", "/file", 200),
        ("HEAD", "/file", 200),
        ("POST", "/file", 403),
        ("DELETE", "/file", 403),
        ("FOO", "/file", 403),
        ("GET", "/named", 401),
        ("HEAD", "/named", 401),
        ("POST", "/named", 405),
        ("DELETE", "/named", 405),
        ("PUT", "/rewritten", 402),
        // The block has no `return`, and such are not inherited.
        ("GET", "/rewritten", 404),
    ] {
        assert_eq!(ask(&limpet, method, target, "").status, wanted, "{method} {target}");
    }
}

#[test]
fn checking_allocates_nothing() {
    if drives_nginx() {
        return;
    }
    let limpet = start(
        "location /auth { auth_basic R; auth_basic_user_file users; alias @DIR@/html/file; }
         location /refused { auth_basic R; auth_basic_user_file users; }
         location /denied { deny all; }",
    );
    let (plain, wrong) = (basic("plain:pass"), basic("plain:wrong"));
    for (target, lines, status) in
        [("/auth", &plain, 200), ("/refused", &wrong, 401), ("/denied", &plain, 403)]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n").repeat(20);
        let mut client = limpet.client();
        let mut load = |rounds| {
            for _ in 0..rounds {
                client.send(&request);
                (0..20).for_each(|_| assert_eq!(client.response().status, status));
            }
        };
        load(20);
        let before = allocations(&limpet);
        load(100);
        assert_eq!(allocations(&limpet), before, "{target} allocates");
    }
}

#[test]
fn wrong_rules_are_refused() {
    for (locations, words) in [
        ("allow 1.2.3.4/33;", "invalid parameter \"1.2.3.4/33\""),
        ("deny localhost;", "invalid parameter \"localhost\""),
        ("satisfy x;", "invalid value \"x\""),
        ("auth_basic a; auth_basic b;", "\"auth_basic\" directive is duplicate"),
        ("limit_except GET { }", "\"limit_except\" directive is not allowed here"),
        ("location / { limit_except FOO { } }", "invalid method \"FOO\""),
        (
            "location / { limit_except GET { } limit_except POST { } }",
            "\"limit_except\" directive is duplicate",
        ),
        (
            "location / { limit_except GET { satisfy any; } }",
            "\"satisfy\" directive is not allowed here",
        ),
    ] {
        let limpet = Limpet::prepare(Place::new(), &config(locations));
        let output = limpet.run(&["-t"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(words), "{locations}: {text}");
    }
}
