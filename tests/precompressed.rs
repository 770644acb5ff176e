//! FILE.gz, FILE.br and FILE.zst beside a file.
use crate::common::*;

fn start() -> Limpet {
    let place = Place::new();
    for name in ["a.html", "a.html.gz", "a.html.br", "a.html.zst", "b.css", "b.css.gz", "c.js.gz"] {
        place.write(&format!("html/{name}"), name);
    }
    let config = "
        events { }
        http {
            access_log off; types { text/html html; text/css css; application/javascript js; }
            server {
                listen 8080; root @DIR@/html;
                gzip_static on; brotli_static on; zstd_static on;
                location /gzip/ { alias @DIR@/html/; brotli_static off; zstd_static off; }
                location /vary/ { alias @DIR@/html/; gzip_vary on; }
                location /always/ { alias @DIR@/html/; gzip_static always; zstd_static off; }
                location /off/ { alias @DIR@/html/; gzip_static off; brotli_static off;
                    zstd_static off; }
            }
        }";
    Limpet::start_in(place, config)
}

fn get(client: &mut Client, target: &str, fields: &str) -> Response {
    let fields = fields.replace('|', "\r\n");
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response()
}

/// Body, `Content-Encoding` and `Vary`.
fn check(client: &mut Client, target: &str, accepted: &str, expected: (&str, &str, &str)) {
    let fields = if accepted.is_empty() { "" } else { &format!("Accept-Encoding: {accepted}|") };
    // Twice: what was kept of the first answer is no other file's.
    for _ in 0..2 {
        let answer = get(client, target, fields);
        let (coding, vary) = (answer.header("content-encoding"), answer.header("vary"));
        assert_eq!((&*answer.text(), coding, vary), expected, "{target} {accepted}");
    }
}

#[test]
fn the_client_chooses() {
    if drives_nginx() {
        return;
    }
    let limpet = start();
    let mut client = limpet.client();
    let (gz, br) = (("a.html.gz", "gzip", ""), ("a.html.br", "br", ""));
    let (zst, plain) = (("a.html.zst", "zstd", ""), ("a.html", "", ""));
    for (accepted, expected) in [
        ("", plain),
        ("gzip", gz),
        ("br", br),
        ("zstd", zst),
        ("gzip, deflate, br, zstd", br),
        ("gzip, zstd", zst),
        ("gzip;q=0.5, br;q=0.4", gz),
        ("gzip;q=0.5, br;q=0", gz),
        ("br;q=0.9, zstd;q=0.95, gzip;q=0.9", zst),
        ("identity", plain),
        ("*", plain),
    ] {
        check(&mut client, "/a.html", accepted, expected);
    }
    check(&mut client, "/b.css", "br, gzip", ("b.css.gz", "gzip", ""));
    check(&mut client, "/c.js", "gzip", ("c.js.gz", "gzip", ""));
    assert_eq!(get(&mut client, "/c.js", "").status, 404);
    check(&mut client, "/always/a.html", "", ("a.html.gz", "gzip", ""));
    check(&mut client, "/always/a.html", "br", br);
    check(&mut client, "/off/a.html", "gzip, br", plain);
    check(&mut client, "/vary/a.html", "", ("a.html", "", "Accept-Encoding"));
    check(&mut client, "/vary/a.html", "br", ("a.html.br", "br", "Accept-Encoding"));
    check(&mut client, "/a.html.gz", "gzip", ("a.html.gz", "", ""));
    check(&mut client, "/a.html", "gzip", gz);
}

#[test]
fn the_answer_is_of_the_compressed_file() {
    if drives_nginx() {
        return;
    }
    let limpet = start();
    let mut client = limpet.client();
    let plain = get(&mut client, "/a.html", "");
    for coding in ["gzip", "br", "zstd"] {
        let answer = get(&mut client, "/a.html", &format!("Accept-Encoding: {coding}|"));
        assert_eq!(answer.header("content-type"), "text/html");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        let etag = answer.header("etag");
        assert!(etag.starts_with('"') && etag != plain.header("etag"), "{etag}");
        let fields = format!("Accept-Encoding: {coding}|If-None-Match: {etag}|");
        let unchanged = get(&mut client, "/a.html", &fields);
        assert_eq!((unchanged.status, unchanged.header("content-encoding")), (304, ""));
    }
    // nginx's gzip_static has no ranges.
    let part = get(&mut client, "/a.html", "Accept-Encoding: gzip|Range: bytes=0-1|");
    assert_eq!((part.status, part.has("accept-ranges")), (200, false));
    let part = get(&mut client, "/a.html", "Accept-Encoding: br|Range: bytes=7-8|");
    assert_eq!((part.status, &*part.text(), part.header("content-encoding")), (206, "br", "br"));
    assert_eq!(part.header("content-range"), "bytes 7-8/9");
}
