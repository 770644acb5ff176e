//! nginx as the oracle: the same configuration, files and bytes on both servers give the
//! same answers, byte for byte but for the server's name and the date.
//!
//! Not here: where limpet is stricter on purpose (tests/http_hostile.rs).
use crate::common::*;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const CONFIG: &str = include_str!("oracle/nginx.conf");
/// Request targets, Range and Host fields, one a line.
const TARGETS: &str = include_str!("oracle/targets");
const RANGES: &str = include_str!("oracle/ranges");
const HOSTS: &str = include_str!("oracle/hosts");
/// Whole requests, `|` for CRLF.
const REQUESTS: &str = include_str!("oracle/requests");

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
            let row = row.get(..120).unwrap_or(row);
            differences.push(format!("{row:?}\n{}", difference(&nginx, &limpet)));
        }
    }
    let (count, all) = (differences.len(), rows.len());
    assert!(count == 0, "{count} of {all} answers differ:\n{}", differences.join("\n"));
}

/// Both answers, line by line; a line of one server alone is marked.
fn difference(nginx: &str, limpet: &str) -> String {
    let told = |name: &str, own: &str, other: &str| -> String {
        let other: Vec<_> = other.lines().collect();
        let mark = |line| if other.contains(&line) { ' ' } else { '!' };
        own.lines().map(|line| format!("  {name} {} {line}\n", mark(line))).collect()
    };
    told("nginx ", nginx, limpet) + &told("limpet", limpet, nginx)
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
            // One server says 100 also when there is no body to wait for, or it has come.
            Ok(response) if response.status == 100 => continue,
            Ok(response) => {
                text.push_str(&normal(server, head, &response));
                // After a 412 nginx ends the connection without having said so.
                if response.status == 412 {
                    break;
                }
            }
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
fn normal(server: &Limpet, head: bool, response: &Response) -> String {
    let name = response.header("server").to_string();
    let page = format!("<center>{name}</center>");
    let body = response.text().replace(&page, "<center>SERVER</center>");
    let boundary = response.header("content-type").split_once("boundary=");
    let boundary = boundary.map_or("\0", |(_, boundary)| boundary).to_string();
    let built_in = body.contains("<center>SERVER") || (head && response.status >= 300);
    let field = |(key, value): &(String, String)| {
        let value = match &*key.to_lowercase() {
            "server" => "SERVER".to_string(),
            "date" => "DATE".to_string(),
            "content-length" if built_in => {
                (value.parse::<i64>().unwrap() - name.len() as i64).to_string()
            }
            _ => value.replace(&format!(":{}", server.port(8080)), ":8080"),
        };
        format!("{key}: {value}\n")
    };
    let fields: String = response.headers.iter().map(field).collect();
    let (status, reason) = (response.status, &response.reason);
    format!("{status} {reason}\n{fields}\n{body}\n").replace(&boundary, "BOUNDARY")
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

/// Every request of the table, as bytes.
fn rows() -> Vec<String> {
    let mut rows = Vec::new();
    rows.extend(TARGETS.lines().map(|target| request("GET", target, "")));
    rows.extend(METHODS.split_whitespace().map(|method| request(method, "/index.html", "")));
    rows.extend(METHODS.split_whitespace().map(|method| request(method, "/return/text", "")));
    for method in ["GET", "HEAD"] {
        rows.extend(RETURNS.split_whitespace().map(|target| request(method, target, "")));
    }
    for target in ["/digits.txt", "/long.txt", "/nosendfile/long.txt"] {
        rows.extend(
            RANGES.lines().map(|range| request("GET", target, &format!("Range: {}|", range))),
        );
    }
    rows.extend(fields().iter().map(|fields| request("GET", "/digits.txt", fields)));
    let hosts = HOSTS.lines().map(|host| format!("GET /chars HTTP/1.1\r\n{host}\r\n\r\n"));
    rows.extend(hosts);
    rows.extend(REQUESTS.lines().map(|line| line.replace('|', "\r\n")));
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

const RETURNS: &str = "/return/empty /return/204 /return/301 /return/302 /return/303 /return/307
    /return/308 /return/url /return/400 /return/401 /return/403 /return/404 /return/410 /return/418
    /return/429 /return/444 /return/500 /return/502 /return/503 /return/504 /return/507
    /return/599 /missing /noindex/ /dir /digits.txt /long.txt /empty.txt /errors/x /told/";

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
