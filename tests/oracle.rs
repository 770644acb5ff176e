//! nginx as the oracle: the same configuration, files and bytes on both servers give the
//! same answers, byte for byte but for the server's name and the date.
//!
//! Not here: where limpet is stricter on purpose (tests/http_hostile.rs).
use crate::common::*;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// What each request is followed by, to see whether the connection stays usable.
const SENTINEL: &str = "GET /sentinel HTTP/1.0\r\n\r\n";

#[test]
fn answers_are_those_of_nginx() {
    let Some(nginx) = program("nginx") else {
        return skip("there is no nginx here to compare with");
    };
    let rows = rows();
    assert!(rows.len() >= 150, "{} requests", rows.len());
    let (nginx, limpet) = (answers(nginx, rows.clone()), answers(binary(), rows.clone()));
    let (nginx, limpet) = (nginx.join().unwrap(), limpet.join().unwrap());
    let mut differences = Vec::new();
    for ((row, nginx), limpet) in rows.iter().zip(nginx).zip(limpet) {
        if nginx != limpet {
            let nginx = nginx.replace('\n', "\n  nginx   ");
            let limpet = limpet.replace('\n', "\n  limpet  ");
            differences.push(format!("{row:?}\n  nginx   {nginx}\n  limpet  {limpet}\n"));
        }
    }
    let (count, all) = (differences.len(), rows.len());
    assert!(count == 0, "{count} of {all} answers differ:\n{}", differences.join("\n"));
}

/// All answers of one server, which runs in a thread of its own: in a network of its own.
fn answers(server: PathBuf, rows: Vec<String>) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let place = Place::new();
        write_files(&place);
        let mut server = Limpet::prepare_binary(server, place, CONFIG);
        server.launch();
        server.wait_workers(1);
        rows.iter().map(|row| answer(&server, row)).collect()
    })
}

fn answer(server: &Limpet, row: &str) -> String {
    let mut client = server.client();
    let _ = client.try_send(row.to_string() + SENTINEL);
    let (mut head, mut text) = (row.starts_with("HEAD "), String::new());
    loop {
        match client.try_response(head) {
            Ok(response) => text.push_str(&normal(server, head, response)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => {
                // HTTP/0.9 has no head
                text.push_str(&format!("{error}"));
                break;
            }
        }
        head = false;
    }
    text
}

/// A response as text, without what has to differ.
fn normal(server: &Limpet, head: bool, response: Response) -> String {
    let name = response.header("server").to_string();
    let page = format!("<center>{name}</center>");
    let body = response.text().replace(&page, "<center>SERVER</center>");
    let boundary = response.header("content-type").split_once("boundary=");
    let boundary = boundary.map_or("\0", |(_, boundary)| boundary).to_string();
    let mut text = format!("{} {}\n", response.status, response.reason);
    let built_in = body.contains("<center>SERVER") || (head && response.status >= 300);
    for (key, value) in &response.headers {
        let value = match &*key.to_lowercase() {
            "server" => "SERVER".to_string(),
            "date" => "DATE".to_string(),
            "content-length" if built_in => {
                (value.parse::<i64>().unwrap() - name.len() as i64).to_string()
            }
            _ => value.replace(&format!(":{}", server.port(8080)), ":8080"),
        };
        text.push_str(&format!("{key}: {value}\n"));
    }
    format!("{text}\n{body}\n").replace(&boundary, "BOUNDARY")
}

fn write_files(place: &Place) {
    let long: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    for (name, content) in [
        ("html/index.html", "<html>index</html>\n"),
        ("html/dir/index.html", "dir index\n"),
        ("html/noindex/file.txt", "text\n"),
        ("html/second/other.htm", "second index\n"),
        ("html/digits.txt", "0123456789"),
        ("html/long.txt", &long),
        ("html/empty.txt", ""),
        ("html/a b.txt", "blank\n"),
        ("html/é.txt", "accent\n"),
        ("html/plus+.txt", "plus\n"),
        ("html/style.css", "css"),
        ("html/script.js", "js"),
        ("html/data.json", "{}"),
        ("html/image.SVG", "<svg/>"),
        ("html/archive.tar.gz", "gz"),
        ("html/noext", "none"),
        ("html/odd.unknown", "odd"),
        ("html/404.html", "not here\n"),
        ("html/50x.html", "broken\n"),
        ("html/.hidden", "hidden\n"),
        ("html/exact", "a file"),
        ("other/file.txt", "other file\n"),
        ("other/deep/file.txt", "deep file\n"),
        ("other/index.html", "other index\n"),
        ("alias/file.txt", "aliased\n"),
        ("alias/index.html", "alias index\n"),
    ] {
        let path = place.write(name, content);
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
    }
}

const MODIFIED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const EARLIER: &str = "Mon, 13 Nov 2023 22:13:20 GMT";
const LATER: &str = "Wed, 15 Nov 2023 22:13:20 GMT";
const ETAG: &str = "\"6553f100-a\""; // of digits.txt

const CONFIG: &str = r#"
worker_processes 1;
events { }
http {
    access_log off;
    lingering_timeout 1s;
    types {
        text/html html htm; text/css css; text/plain txt; image/svg+xml svg;
        application/javascript js; application/json json;
    }
    default_type application/octet-stream;
    server {
        listen 8080;
        server_name localhost;
        root @DIR@/html;
        index index.html other.htm;
        client_max_body_size 1k;
        location = /sentinel { return 200 sentinel; }
        location = /exact { return 200 "exact one"; }
        location /prefix { return 200 prefix; }
        location /prefix/longer { return 200 longer; }
        location ^~ /caret/ { return 200 caret; }
        location /nested/ {
            return 201 outer;
            location /nested/in/ { return 202 inner; location = /nested/in/x { return 203 x; } }
        }
        location /other/ { root @DIR@; }
        location /alias/ { alias @DIR@/alias/; }
        location /aliased { alias @DIR@/alias; }
        location = /one-file { alias @DIR@/alias/file.txt; }
        location /internal/ { internal; alias @DIR@/alias/; }
        location /return/text { return 200 "some text"; }
        location /return/empty { return 200; }
        location /return/204 { return 204; }
        location /return/301 { return 301 /moved; }
        location /return/302 { return 302 http://elsewhere/path; }
        location /return/303 { return 303 https://elsewhere/; }
        location /return/307 { return 307 /moved?x=y; }
        location /return/308 { return 308 relative; }
        location /return/url { return http://elsewhere/; }
        location /return/400 { return 400; }
        location /return/401 { return 401; }
        location /return/403 { return 403 "no entry"; }
        location /return/404 { return 404; }
        location /return/410 { return 410; }
        location /return/418 { return 418; }
        location /return/429 { return 429; }
        location /return/444 { return 444; }
        location /return/500 { return 500; }
        location /return/502 { return 502; }
        location /return/503 { return 503; }
        location /return/504 { return 504; }
        location /return/507 { return 507; }
        location /return/599 { return 599; }
        location /typed { default_type text/css; return 200 css; }
        location /errors/ {
            root @DIR@/nowhere;
            error_page 404 /404.html;
            location /errors/code { error_page 404 =200 /404.html; }
            location /errors/any { error_page 404 = /return/403; }
            location /errors/to { error_page 404 http://elsewhere/404; }
            location /errors/to301 { error_page 404 =301 http://elsewhere/404; }
            location /errors/loop { error_page 404 /errors/loop; }
            location /errors/missing { error_page 404 /errors/gone; }
            location /errors/inside { error_page 404 /internal/file.txt; }
            location /errors/return { error_page 503 /50x.html; return 503; }
            location /errors/405 { error_page 405 /404.html; root @DIR@/html; }
        }
        location /noetag/ { etag off; alias @DIR@/html/; }
        location /before/ { if_modified_since before; alias @DIR@/html/; }
        location /imsoff/ { if_modified_since off; alias @DIR@/html/; }
        location /onerange/ { max_ranges 1; alias @DIR@/html/; }
        location /noranges/ { max_ranges 0; alias @DIR@/html/; }
        location /nosendfile/ { sendfile off; alias @DIR@/html/; }
        location /sendfile/ { sendfile on; tcp_nopush on; alias @DIR@/html/; }
        location /small/ { client_max_body_size 10; return 200 small; }
        location /unlimited/ { client_max_body_size 0; return 200 unlimited; }
        location /once/ { keepalive_timeout 0; return 200 once; }
        location /told/ { keepalive_timeout 65 20; return 200 told; }
        location /redirects/ {
            alias @DIR@/html/;
            location /redirects/relative/ { absolute_redirect off; alias @DIR@/html/; }
            location /redirects/noport/ { port_in_redirect off; alias @DIR@/html/; }
            location /redirects/named/ { server_name_in_redirect on; alias @DIR@/html/; }
        }
        location /chars { return 200 chars; }
    }
    server { listen 8080; server_name exact.example; return 200 exact; }
    server { listen 8080; server_name *.wild.example; return 200 leading; }
    server { listen 8080; server_name trailing.*; return 200 trailing; }
    server { listen 8080; server_name .both.example; return 200 both; }
    server { listen 8080; server_name www.wild.example; return 200 www; }
    server { listen 8080; server_name ""; return 200 nameless; }
    server { listen 8080; server_name one.example two.example; return 200 "one or two"; }
    server { listen 8080; server_name off.example; server_tokens off; root @DIR@/html; }
    server { listen 8080; server_name keep.example; keepalive_requests 1; return 200 keep; }
}
"#;

/// Every request of the table, as bytes.
fn rows() -> Vec<String> {
    let mut rows = Vec::new();
    rows.extend(TARGETS.lines().map(|target| request("GET", target.trim(), "")));
    rows.extend(METHODS.split_whitespace().map(|method| request(method, "/index.html", "")));
    rows.extend(METHODS.split_whitespace().map(|method| request(method, "/return/text", "")));
    for method in ["GET", "HEAD"] {
        rows.extend(RETURNS.split_whitespace().map(|target| request(method, target, "")));
    }
    for target in ["/digits.txt", "/long.txt", "/nosendfile/long.txt"] {
        rows.extend(
            RANGES.lines().map(|range| {
                request("GET", target, &format!("Range: {}|", range.trim_matches(' ')))
            }),
        );
    }
    rows.extend(fields().iter().map(|fields| request("GET", "/digits.txt", fields)));
    rows.extend(HOSTS.lines().map(|host| {
        format!("GET /chars HTTP/1.1\r\nHost:{}\r\n\r\n", host.strip_prefix("    ").unwrap_or(host))
    }));
    rows.extend(RAW.lines().map(|line| line.trim_start().replace('|', "\r\n")));
    rows.push(request("GET", &format!("/{}", "a".repeat(3000)), ""));
    rows.push(request("GET", &format!("/{}", "a".repeat(9000)), ""));
    rows.push(request("GET", "/", &format!("X-Long: {}|", "b".repeat(7000))));
    rows.push(request("GET", "/", &format!("X-Long: {}|", "b".repeat(9000))));
    rows.push(request("GET", "/", &format!("X-Long: {}|", "b".repeat(7000)).repeat(5)));
    rows.push(request("GET", "/", &"X-Many: c|".repeat(90)));
    rows
}

/// `|` in the fields stands for CRLF.
fn request(method: &str, target: &str, fields: &str) -> String {
    let fields = fields.replace('|', "\r\n");
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

const METHODS: &str = "GET HEAD POST PUT DELETE OPTIONS TRACE PATCH PROPFIND MKCOL COPY LOCK
    UNKNOWN get Get G_ET G-ET G1 GET, CONNECT";

const TARGETS: &str = "/
    /index.html
    /dir
    /dir?a=b&c
    /dir/
    /dir/index.html
    /dir/index.html/
    /noindex
    /noindex/
    /second/
    /missing
    /missing/
    /missing/deep
    /index.html/deep
    /a%20b.txt
    /a+b.txt
    /plus+.txt
    /plus%2b.txt
    /%C3%A9.txt
    /é.txt
    /%69ndex.html
    /%49ndex.html
    /INDEX.HTML
    //index.html
    ///index.html
    //dir//index.html
    /./index.html
    /././index.html
    /dir/../index.html
    /dir/./index.html
    /dir/..
    /dir/../
    /dir/.
    /..
    /../
    /../index.html
    /dir/../../index.html
    /...
    /.../index.html
    /..index.html
    /.hidden
    /dir/..%2findex.html
    /%2e%2e/index.html
    /dir/%2e%2e/index.html
    /dir%2findex.html
    /dir%2Findex.html
    /%2findex.html
    /%
    /%2
    /%zz
    /%0
    /%00
    /index.html%00
    /%25
    /%252e
    /index.html?
    /index.html?a=b
    /index.html?a=b?c=d
    /index.html?a=%zz
    /index.html#fragment
    /index.html%23fragment
    /index.html%3fquery
    /index.html;param
    /index.html\\
    /dir\\index.html
    /\"quoted\"
    /<tag>
    /{brace}
    /a^b
    /a`b
    /~user
    /:colon
    /@at
    /a,b
    /a&b
    /a=b
    /a*b
    /(paren)
    *
    index.html
    ?query
    http://localhost/index.html
    http://localhost
    http://localhost/
    http://localhost?query
    http://localhost:8080/index.html
    http://other.name/chars
    HTTP://LOCALHOST/index.html
    https://localhost/index.html
    ftp://localhost/index.html
    http://exact.example/
    http:///index.html
    http:/index.html
    mailto:someone
    /chars
    /chars/%41%42?%41
    /chars/a%20b/%2e/c
    /chars//double
    /exact
    /exact/
    /exact?query
    /prefix
    /prefixed
    /prefix/long
    /prefix/longer
    /prefix/longer/still
    /caret/x
    /caret
    /nested/
    /nested
    /nested/in/
    /nested/in/x
    /nested/in/x/y
    /other/file.txt
    /other/deep/file.txt
    /other/
    /other
    /alias/file.txt
    /alias/
    /alias
    /alias/../html/index.html
    /aliased/file.txt
    /aliased
    /one-file
    /internal/file.txt
    /style.css
    /script.js
    /data.json
    /image.SVG
    /archive.tar.gz
    /noext
    /odd.unknown
    /empty.txt
    /long.txt
    /typed
    /errors/x
    /errors/code
    /errors/any
    /errors/to
    /errors/to301
    /errors/loop
    /errors/missing
    /errors/inside
    /errors/return
    /noetag/digits.txt
    /onerange/digits.txt
    /nosendfile/long.txt
    /sendfile/long.txt
    /sendfile/empty.txt
    /once/
    /told/
    /redirects/dir
    /redirects/dir?x
    /redirects/relative/dir
    /redirects/relative/dir?x=y
    /redirects/noport/dir
    /redirects/named/dir";

const RETURNS: &str = "/return/empty /return/204 /return/301 /return/302 /return/303 /return/307
    /return/308 /return/url /return/400 /return/401 /return/403 /return/404 /return/410 /return/418
    /return/429 /return/444 /return/500 /return/502 /return/503 /return/504 /return/507
    /return/599 /missing /noindex/ /dir /digits.txt /long.txt /empty.txt /errors/x /told/";

const RANGES: &str = "bytes=0-0
    bytes=0-
    bytes=-1
    bytes=-5
    bytes=-0
    bytes=9-9
    bytes=9-
    bytes=10-
    bytes=10-20
    bytes=5-3
    bytes=0-99
    bytes=-99
    bytes=0-99999999999999999999
    bytes=99999999999999999999-
    bytes=9223372036854775807-
    bytes=0-1,3-4
    bytes=0-0,-1
    bytes=0-1, 3-4
    bytes=0-1 , 3-4
    bytes=5-6,1-2
    bytes=0-5,3-8
    bytes=0-9,0-9
    bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9
    bytes=0-1,20-30
    bytes=20-30,40-50
    bytes=0-1,
    bytes=,0-1
    bytes=0-1,,2-3
    bytes=
    bytes=-
    bytes=--1
    bytes=a-b
    bytes=1-b
    bytes=1
    bytes 0-1
    bytes = 0-1
    bytes= 0-1
    bytes=0 - 1
    BYTES=0-1
    Bytes=0-1
    items=0-1
    0-1
    bytes";

fn fields() -> Vec<String> {
    let mut fields = Vec::new();
    for date in [MODIFIED, EARLIER, LATER, "nonsense", "Tue, 14 Nov 2023 22:13:20", "0", ""] {
        fields.push(format!("If-Modified-Since: {date}|"));
        fields.push(format!("If-Unmodified-Since: {date}|"));
        fields.push(format!("If-Range: {date}|Range: bytes=0-1|"));
        fields.push(format!("If-Modified-Since: {date}|If-None-Match: {ETAG}|"));
        fields.push(format!("If-Modified-Since: {date}|If-None-Match: \"other\"|"));
    }
    for date in ["Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023", "1700000000"] {
        fields.push(format!("If-Modified-Since: {date}|"));
    }
    let weak = format!("W/{ETAG}");
    for tag in [ETAG, &weak, "\"other\"", "*", "", &ETAG.replace('"', "")] {
        for name in ["If-None-Match", "If-Match"] {
            fields.push(format!("{name}: {tag}|"));
            fields.push(format!("{name}: \"a\", {tag}, \"b\"|"));
            fields.push(format!("{name}: \"a\",{tag}|"));
        }
        fields.push(format!("If-Range: {tag}|Range: bytes=2-3|"));
        fields.push(format!("If-Match: {tag}|If-None-Match: {tag}|"));
    }
    fields.push(format!("If-Match: \"other\"|If-Unmodified-Since: {MODIFIED}|"));
    fields.push(format!("If-None-Match: {ETAG}|Range: bytes=0-1|"));
    fields.push(format!("Range: bytes=0-1|If-Range: {ETAG}|If-Modified-Since: {EARLIER}|"));
    fields.push("Connection: close|".into());
    fields.push("Connection: keep-alive|".into());
    fields.push("Connection: Close|".into());
    fields.push("Connection: keep-alive, close|".into());
    fields.push("Connection: upgrade|Upgrade: websocket|".into());
    fields.push("Expect: 100-continue|".into());
    fields.push("Accept-Encoding: gzip|".into());
    fields.push("X_Underscore: a|".into());
    fields.push("Content-Length: 0|".into());
    fields.push("Content-Length: 3||abc".into());
    fields
}

const HOSTS: &str = " localhost
     LOCALHOST
     localhost:8080
     localhost.
     localhost..
     .localhost
     exact.example
     Exact.Example
     exact.example.
     exact.example:81
     www.wild.example
     a.wild.example
     a.b.wild.example
     wild.example
     .wild.example
     trailing.com
     trailing.co.uk
     trailing
     both.example
     x.both.example
     one.example
     two.example
     TWO.example:80
     keep.example
     off.example
     unknown.example
     127.0.0.1
     [::1]
     [::1]:8080
     a/b
     a\\b
     a b
     -
     _
     .
     ..
     a..b
    localhost
    \tlocalhost
    ";

/// Whole requests, `|` for CRLF.
const RAW: &str = "GET / HTTP/1.0||
    GET / HTTP/1.0|Host: localhost||
    GET / HTTP/1.0|Connection: keep-alive||
    GET /digits.txt HTTP/1.0|Connection: keep-alive|Range: bytes=0-1||
    GET /digits.txt HTTP/1.0|Range: bytes=0-1,4-5||
    GET /dir HTTP/1.0||
    GET /return/301 HTTP/1.0||
    GET / HTTP/1.1||
    GET / HTTP/1.1|Host: localhost|Host: localhost||
    GET / HTTP/1.1|Host: localhost|Host: other||
    GET / HTTP/1.1|Host:||
    GET / HTTP/1.2|Host: localhost||
    GET / HTTP/1.10|Host: localhost||
    GET / HTTP/2.0|Host: localhost||
    GET / HTTP/0.9|Host: localhost||
    GET / HTTP/1|Host: localhost||
    GET / HTTP/1.|Host: localhost||
    GET / HTTP/.1|Host: localhost||
    GET / HTTP/10.1|Host: localhost||
    GET / HTTP1.1|Host: localhost||
    GET / http/1.1|Host: localhost||
    GET / HTTQ/1.1|Host: localhost||
    GET / HTTP/1.1 |Host: localhost||
    GET /  HTTP/1.1|Host: localhost||
    GET  / HTTP/1.1|Host: localhost||
    GET / HTTP/1.1 x|Host: localhost||
    GET|Host: localhost||
    GET HTTP/1.1|Host: localhost||
    |GET / HTTP/1.1|Host: localhost||
    ||GET / HTTP/1.1|Host: localhost||
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: 5||hello
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: 0||
    POST /return/text HTTP/1.1|Host: localhost||
    POST /index.html HTTP/1.1|Host: localhost|Content-Length: 5||hello
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: 005||hello
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: 99999999||
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: 99999999999999999999||
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: -1||
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: +5||hello
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: 5 5||hello
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: five||hello
    POST /return/text HTTP/1.1|Host: localhost|Content-Length:||
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: 5|Content-Length: 5||hello
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: 5|Content-Length: 6||hello
    POST /return/text HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||5|hello|0||
    POST /return/text HTTP/1.1|Host: localhost|Transfer-Encoding: CHUNKED||5|hello|0||
    POST /return/text HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||5;a=b|hello|0||
    POST /return/text HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||5|hello|3|abc|0||
    POST /return/text HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||5|hello|0|A: b||
    POST /return/text HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||0||
    POST /index.html HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||5|hello|0||
    POST /return/text HTTP/1.1|Host: localhost|Transfer-Encoding: identity||
    POST /return/text HTTP/1.1|Host: localhost|Transfer-Encoding: gzip, chunked||0||
    POST /return/text HTTP/1.1|Host: localhost|Transfer-Encoding: chunked|Content-Length: 5||0||
    POST /return/text HTTP/1.1|Host: localhost|Content-Length: 5|Transfer-Encoding: chunked||0||
    POST /return/text HTTP/1.0|Transfer-Encoding: chunked||0||
    POST /small/ HTTP/1.1|Host: localhost|Content-Length: 10||0123456789
    POST /small/ HTTP/1.1|Host: localhost|Content-Length: 11||0123456789a
    POST /unlimited/ HTTP/1.1|Host: localhost|Content-Length: 11||0123456789a
    POST /unlimited/ HTTP/1.1|Host: localhost|Expect: 100-continue|Content-Length: 3||abc
    POST /index.html HTTP/1.1|Host: localhost|Expect: 100-continue|Content-Length: 3||abc
    POST /small/ HTTP/1.1|Host: localhost|Expect: 100-continue|Content-Length: 99||
    POST /small/ HTTP/1.1|Host: localhost|Expect: nonsense|Content-Length: 0||
    POST /errors/405 HTTP/1.1|Host: localhost|Content-Length: 0||
    GET /prefix HTTP/1.1|Host: localhost||GET /caret/ HTTP/1.1|Host: localhost||
    HEAD /index.html HTTP/1.1|Host: localhost|Range: bytes=0-1||
    HEAD /digits.txt HTTP/1.1|Host: localhost|Range: bytes=0-1,3-4||
    HEAD /digits.txt HTTP/1.1|Host: localhost|Range: bytes=20-||
    HEAD /dir HTTP/1.1|Host: localhost||
    HEAD / HTTP/1.0||
    GET /noranges/digits.txt HTTP/1.1|Host: localhost|Range: bytes=0-1||
    GET /onerange/digits.txt HTTP/1.1|Host: localhost|Range: bytes=0-1||
    GET /onerange/digits.txt HTTP/1.1|Host: localhost|Range: bytes=0-1,3-4||
    GET /empty.txt HTTP/1.1|Host: localhost|Range: bytes=0-1||
    GET /empty.txt HTTP/1.1|Host: localhost|Range: bytes=-1||
    GET /missing HTTP/1.1|Host: localhost|Range: bytes=0-1||
    GET /errors/code HTTP/1.1|Host: localhost|Range: bytes=0-1||
    GET /return/text HTTP/1.1|Host: localhost|Range: bytes=0-1||
    GET /noetag/digits.txt HTTP/1.1|Host: localhost|If-None-Match: \"6553f100-a\"||
    GET /before/digits.txt HTTP/1.1|Host: localhost|If-Modified-Since: Wed, 15 Nov 2023 22:13:20 GMT||
    GET /before/digits.txt HTTP/1.1|Host: localhost|If-Modified-Since: Mon, 13 Nov 2023 22:13:20 GMT||
    GET /imsoff/digits.txt HTTP/1.1|Host: localhost|If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT||
    GET /missing HTTP/1.1|Host: off.example||
    GET / HTTP/1.1|Host: off.example||
    GET / HTTP/1.1|Host: localhost|User-Agent: Mozilla/4.0 (compatible; MSIE 6.0)||
    GET /missing HTTP/1.1|Host: localhost|User-Agent: Mozilla/4.0 (compatible; MSIE 6.0)||
    GET /missing HTTP/1.1|Host: localhost|User-Agent: Chrome/1||
    POST /missing HTTP/1.1|Host: localhost|User-Agent: MSIE 5|Content-Length: 0||";
