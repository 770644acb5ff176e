//! From a URI to a file: `root` and `alias` with variables, `index`, `error_page`.
use crate::common::*;

fn start(server: &str) -> Limpet {
    let place = Place::new();
    let names = "html/index.html html/ok.html html/start.html html/dir/b.html other/var/f.txt \
                 alias/f.txt alias/a/f.txt alias/index.html";
    for name in names.split_whitespace() {
        place.write(name, format!("{name}\n"));
    }
    std::fs::create_dir(place.path("html/empty")).unwrap();
    std::os::unix::fs::symlink("alias", place.path("link")).unwrap();
    let server = format!("server {{ listen 8080; root @DIR@/html; {server} }}");
    let config = format!("events {{ }} http {{ access_log off; {server} }}");
    Limpet::start_in(place, &config)
}

/// Status and body, or where it leads.
fn answer(limpet: &Limpet, target: &str) -> String {
    let response = limpet.get(target);
    match response.status {
        301 | 302 | 307 => format!("{} {}", response.status, response.header("location")),
        200 => response.text().trim_end().to_string(),
        status => status.to_string(),
    }
}

fn check(limpet: &Limpet, rows: &[(&str, &str)]) {
    for (target, expected) in rows {
        let expected = expected.replace("DIR", &limpet.place.dir().to_string_lossy());
        assert_eq!(answer(limpet, target), expected, "{target}");
    }
}

#[test]
fn a_root_may_have_variables() {
    let limpet = start(
        "set $where other;
         set $relative html;
         location /var/ { root @DIR@/$where; }
         location /dir/ { root $relative; }
         location /arg/ { root @DIR@/$arg_d; }
         location /al/ { alias @DIR@/$where/var/; }
         location ~ ^/rx/(.*)\\.php$ { alias @DIR@/alias/$1.txt; }
         location ~ ^/rd/ { alias @DIR@/alias/; }
         location /moved/ { alias @DIR@/alias/; rewrite ^/moved/x(.*)$ /moved/$1 break; }",
    );
    let rows = [
        ("/var/f.txt", "other/var/f.txt"),
        ("/var/none", "404"),
        ("/dir/b.html", "html/dir/b.html"),
        ("/arg/x?d=other", "404"),
        ("/al/f.txt", "other/var/f.txt"),
        ("/rx/f.php", "alias/f.txt"),
        ("/rx/a/f.php", "alias/a/f.txt"),
        ("/rx/none.php", "404"),
        ("/rd/", "301 http://localhost:8080/rd/index.html/"),
        ("/moved/f.txt", "alias/f.txt"),
        ("/moved/xf.txt", "500"),
    ];
    check(&limpet, &rows);
    limpet.log.wait("\"alias\" cannot be used in location \"/moved/\" where URI was rewritten");
}

#[test]
fn variables_tell_of_paths() {
    let limpet = start(
        "location / { return 200 \"$document_root|$realpath_root|$request_filename\"; }
         location /al/ {
             alias @DIR@/link/;
             return 200 $document_root|$realpath_root|$request_filename;
         }
         location ~ ^/rx/(.*)$ { alias @DIR@/link/$1; return 200 $realpath_root|$request_filename; }
         location /none { root @DIR@/none; return 200 [$realpath_root]; }",
    );
    let rows = [
        ("/x", "DIR/html|DIR/html|DIR/html/x"),
        ("/al/x/y", "DIR/link/|DIR/alias|DIR/link/x/y"),
        ("/rx/a/f.txt", "DIR/alias/a/f.txt|DIR/link/a/f.txt"),
        ("/none", "[]"),
    ];
    check(&limpet, &rows);
    limpet.log.wait("realpath() \"");
}

/// Of itself a root can know nothing; what leads around that is no endless loop.
#[test]
fn a_root_made_of_itself_ends_somewhere() {
    let limpet = start("location / { root $request_filename; }");
    check(&limpet, &[("/x", "404")]);
    limpet.log.wait("cycle while evaluating");
}

#[test]
fn an_index_may_have_variables() {
    let limpet = start(
        "index $arg_i.html b.html /start.html;
         location /one { index $arg_i; }",
    );
    let rows = [
        ("/", "html/start.html"),
        ("/?i=index", "html/index.html"),
        ("/?i=/ok", "html/ok.html"),
        ("/dir/", "html/dir/b.html"),
        ("/empty/", "html/start.html"),
        ("/one/", "404"),
    ];
    check(&limpet, &rows);
}

#[test]
fn an_error_page_may_have_variables() {
    let limpet = start(
        "location /e1 { error_page 404 /told$uri?a=$arg_a; }
         location /e2 { error_page 404 = /told?x=1; }
         location /e3 { error_page 404 = @named; }
         location /e4 { error_page 404 =301 http://$host/x$request_uri; }
         location /e5 { error_page 404 https://$host/x?$args; }
         location /e6 { error_page 404 =307 $scheme://h/; }
         location /e7 { error_page 404 $arg_u; }
         location /e8 { error_page 404 =200 @$arg_n; }
         location /e9 { error_page 403 404 =410 /told; }
         location /ea { error_page 404 /eb/x; recursive_error_pages on; }
         location /eb { error_page 404 =200 /ok.html; }
         location /round { error_page 404 /round/x; recursive_error_pages on; }
         location @named { return 200 \"named $uri\"; }
         location /told { return 200 \"$uri $args $request_uri\"; }",
    );
    let rows = [
        ("/e1/x?a=5", "404"),
        ("/e2/x?a=5", "/told x=1 /e2/x?a=5"),
        ("/e3/x", "named /e3/x"),
        ("/e4?q=1", "301 http://localhost/x/e4?q=1"),
        ("/e5?q=1", "302 https://localhost/x?q=1"),
        ("/e6", "307 http://h/"),
        ("/e7?u=ftp://x", "302 ftp://x"),
        ("/e8?n=named", "named /e8"),
        ("/e8?n=none", "500"),
        ("/e9", "410"),
        ("/ea", "html/ok.html"),
        ("/round", "500"),
    ];
    check(&limpet, &rows);
    assert_eq!(limpet.get("/e1/x?a=5").text(), "/told/e1/x a=5 /e1/x?a=5");
    limpet.log.wait("rewrite or internal redirection cycle while internally redirecting to");
}

#[test]
fn msie_is_led_on_by_a_page() {
    let limpet = start(
        "msie_refresh on;
         location /moved { return 301 \"/to?a b'<~{}\"; }
         location /missing { error_page 404 =307 http://other/; }
         location /seen { return 303 /x; }",
    );
    let mut client = limpet.client();
    let mut ask = |target: &str, agent: &str| {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n"));
        client.response()
    };
    let msie = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0)";
    for (target, url) in [("/moved", "/to?a%20b%27%3C%7E%7B}"), ("/missing", "http://other/")] {
        let answer = ask(target, msie);
        let page = format!(
            "<html><head><meta http-equiv=\"Refresh\" content=\"0; URL={url}\"></head>\
             <body></body></html>\r\n"
        );
        assert_eq!((answer.status, answer.text(), answer.has("location")), (200, page, false));
        assert_ne!(ask(target, "curl").status, 200);
    }
    assert_eq!(ask("/seen", msie).status, 303);
}
