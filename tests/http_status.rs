//! `stub_status`, `empty_gif` and `valid_referers`.
use crate::common::*;

const CONFIG: &str = r#"
    events { }
    http {
        default_type application/x-own;
        access_log off;
        server {
            listen 8080;
            server_name own.com *.wild.com ~^re\d+\.com$;
            location /status {
                stub_status;
                if ($arg_more) { add_header More more; }
                location /status/none { return 200 "not inherited"; }
            }
            location /status/old { stub_status on; }
            location /numbers {
                set $moving "$connections_reading $connections_writing";
                return 200 "$connections_active $moving $connections_waiting";
            }
            location /gif { empty_gif; }
            location /unasked { return 200 "[$invalid_referer]"; }
            location /refer {
                valid_referers none blocked server_names *.example.com example.* a.org/galleries/
                               ~\.google\.;
                valid_referers b.org;
                if ($invalid_referer) { return 403; }
                return 200 good;
                location /refer/strict { valid_referers c.org; return 200 "[$invalid_referer]"; }
            }
        }
    }
"#;

#[test]
fn the_status_page_counts() {
    let limpet = Limpet::start(CONFIG);
    let mut client = limpet.client();
    let text = client.get("/status").text();
    assert_eq!(
        text,
        "Active connections: 1 \nserver accepts handled requests\n 1 1 1 \n\
         Reading: 0 Writing: 1 Waiting: 0 \n"
    );
    let response = client.get("/status?more=1");
    assert_eq!(response.header("content-type"), "text/plain");
    assert_eq!((response.header("more"), response.text().contains(" 1 1 2 \n")), ("more", true));
    assert_eq!(client.get("/status/none").text(), "not inherited");
    assert!(client.get("/status/old").text().contains(" 1 1 4 \n"));
    // One that waits, and one whose head is on its way.
    let mut waits = limpet.client();
    waits.get("/gif");
    let mut reads = limpet.client();
    reads.send("GET / HTTP/1.1\r\nHo");
    eventually("both are counted", || client.get("/numbers").text() == "3 1 1 1");
    let text = client.get("/status").text();
    assert!(text.ends_with("Reading: 1 Writing: 1 Waiting: 1 \n"), "{text}");
    drop((waits, reads));
    eventually("they are gone", || client.get("/numbers").text() == "1 0 1 0");
    client.send("POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status, 405);
}

#[test]
fn the_empty_gif_is_nginxs() {
    let limpet = Limpet::start(CONFIG);
    let mut client = limpet.client();
    for target in ["/gif", "/gif/"] {
        let gif = client.get(target);
        assert_eq!((gif.header("content-type"), gif.body.len()), ("image/gif", 43));
        assert!(gif.body.starts_with(b"GIF89a\x01\0\x01\0\x80") && gif.body.ends_with(b"L\x01\0;"));
        assert_eq!(gif.header("last-modified"), "Mon, 28 Sep 1970 06:00:00 GMT");
        assert!(!gif.has("etag") && !gif.has("accept-ranges"));
    }
    for (field, status) in [
        ("If-Modified-Since: Mon, 28 Sep 1970 06:00:00 GMT", 304),
        ("If-Modified-Since: Mon, 28 Sep 1970 06:00:01 GMT", 200),
        ("If-Unmodified-Since: Mon, 28 Sep 1970 05:59:59 GMT", 412),
        ("Range: bytes=0-3", 200),
    ] {
        // nginx closes a connection with 412.
        let mut client = limpet.client();
        client.send(format!("GET /gif HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, status, "{field}");
        assert_eq!(response.header("last-modified").is_empty(), status == 412, "{field}");
    }
    client.send("DELETE /gif HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 405);
}

#[test]
fn referers_are_judged() {
    let limpet = Limpet::start(CONFIG);
    let mut client = limpet.client();
    let mut ask = |target: &str, referer: Option<&str>| {
        let field = referer.map_or(String::new(), |text| format!("Referer: {text}\r\n"));
        client.send(format!("GET {target} HTTP/1.1\r\nHost: own.com\r\n{field}\r\n"));
        client.response()
    };
    for (referer, status) in [
        (None, 200),
        (Some("nothing of a URL"), 200),
        (Some("http://a.b"), 200),
        (Some("http://other.org/"), 403),
        (Some("https://other.org/"), 403),
        (Some("http://own.com/"), 200),
        (Some("HTTPS://OWN.com:8080/x"), 200),
        (Some("http://a.wild.com"), 200),
        (Some("http://re12.com/"), 200),
        (Some("http://re.com/x"), 403),
        (Some("http://www.example.com/"), 200),
        (Some("http://example.co.uk"), 200),
        (Some("http://a.org/galleries/1"), 200),
        (Some("http://a.org:80/galleries/1"), 200),
        (Some("http://a.org/others"), 403),
        (Some("http://a.org"), 403),
        (Some("http://b.org/any"), 200),
        (Some("http://www.google.com/search"), 200),
        (Some("http://other.org/?www.google.de"), 200),
    ] {
        assert_eq!(ask("/refer", referer).status, status, "{referer:?}");
    }
    for (referer, value) in [
        (None, "[1]"),
        (Some("text"), "[1]"),
        (Some("http://c.org/"), "[]"),
        (Some("http://b.org/"), "[1]"),
    ] {
        assert_eq!(ask("/refer/strict", referer).text(), value, "{referer:?}");
        assert_eq!(ask("/unasked", referer).text(), "[]", "{referer:?}");
    }
}
