//! Listings of directories, in all formats, byte for byte.
use crate::common::*;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

fn start(server: &str) -> Limpet {
    let place = Place::new();
    fs::create_dir_all(place.path("html/list/sub")).unwrap();
    fs::create_dir(place.path("html/empty")).unwrap();
    let long = format!("html/list/{}", "n".repeat(60));
    let accents = format!("html/list/{}", "é".repeat(30));
    for (name, size) in [
        ("html/list/a&b.txt", 3),
        ("html/list/.hidden", 3),
        ("html/list/q\"?.txt", 12_000),
        (&long, 5),
        (&accents, 2_000_000),
    ] {
        place.write(name, vec![b'x'; size]);
    }
    for entry in fs::read_dir(place.path("html/list")).unwrap() {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        File::open(entry.unwrap().path()).unwrap().set_modified(modified).unwrap();
    }
    let server = format!("server {{ listen 8080; root @DIR@/html; autoindex on; {server} }}");
    Limpet::start_in(place, &format!("events {{ }} http {{ access_log off; {server} }}"))
}

#[test]
fn a_page_for_people() {
    let limpet = start("location /list/ { autoindex_exact_size off; charset utf-8; }");
    let response = limpet.get("/list/");
    assert_eq!(response.header("content-type"), "text/html; charset=utf-8");
    assert!(!response.has("content-length") && !response.has("last-modified"));
    let accents = "%C3%A9".repeat(30);
    let expected = format!(
        "<html>\r\n<head><title>Index of /list/</title></head>\r\n<body>\r\n\
         <h1>Index of /list/</h1><hr><pre><a href=\"../\">../</a>\r\n\
         <a href=\"sub/\">sub/</a>{:46} 14-Nov-2023 22:13       -\r\n\
         <a href=\"a%26b.txt\">a&amp;b.txt</a>{:43} 14-Nov-2023 22:13       3\r\n\
         <a href=\"{}\">{}..&gt;</a> 14-Nov-2023 22:13       5\r\n\
         <a href=\"q%22%3F.txt\">q&quot;?.txt</a>{:43} 14-Nov-2023 22:13     12K\r\n\
         <a href=\"{accents}\">{}</a>{:20} 14-Nov-2023 22:13      2M\r\n\
         </pre><hr></body>\r\n</html>\r\n",
        "",
        "",
        "n".repeat(60),
        "n".repeat(47),
        "",
        "é".repeat(30),
        "",
    );
    assert_eq!(response.text(), expected);
}

#[test]
fn formats_for_programs() {
    let limpet = start(
        "location /json/ { alias @DIR@/html/list/; autoindex_format json; }
         location /jsonp/ { alias @DIR@/html/empty/; autoindex_format jsonp; }
         location /xml/ { alias @DIR@/html/list/; autoindex_format xml; }",
    );
    let json = limpet.get("/json/");
    assert_eq!(json.header("content-type"), "application/json");
    let (date, long) = ("Tue, 14 Nov 2023 22:13:20 GMT", "n".repeat(60));
    let begin = format!(
        "[\r\n{{ \"name\":\"sub\", \"type\":\"directory\", \"mtime\":\"{date}\" }},\r\n\
         {{ \"name\":\"a&b.txt\", \"type\":\"file\", \"mtime\":\"{date}\", \"size\":3 }},\r\n\
         {{ \"name\":\"{long}\", \"type\":\"file\", \"mtime\":\"{date}\", \"size\":5 }},\r\n\
         {{ \"name\":\"q\\\"?.txt\", \"type\":\"file\", \"mtime\":\"{date}\", \"size\":12000 }},"
    );
    assert!(json.text().starts_with(&begin), "{}", json.text());
    assert!(json.text().ends_with("\"size\":2000000 }\r\n]"));
    assert_eq!(limpet.get("/jsonp/?callback=a.b").text(), "/* callback */\r\na.b([\r\n]);");
    assert_eq!(limpet.get("/jsonp/").text(), "[\r\n]");
    assert_eq!(limpet.get("/jsonp/?callback=a-b").status, 400);
    let xml = limpet.get("/xml/");
    assert_eq!(xml.header("content-type"), "text/xml; charset=utf-8");
    let begin = "<?xml version=\"1.0\"?>\r\n<list>\r\n\
                 <directory mtime=\"2023-11-14T22:13:20Z\">sub</directory>\r\n\
                 <file mtime=\"2023-11-14T22:13:20Z\" size=\"3\">a&amp;b.txt</file>\r\n";
    assert!(xml.text().starts_with(begin), "{}", xml.text());
}

#[test]
fn what_is_not_listed() {
    let limpet = start("location /off/ { alias @DIR@/html/list/; autoindex off; }");
    let mut client = limpet.client();
    let mut status = |request: &str| {
        let head = request.starts_with("HEAD");
        client.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.try_response(head).unwrap().status
    };
    assert_eq!(status("GET /off/"), 403);
    assert_eq!(status("GET /none/"), 404);
    assert_eq!(status("POST /list/"), 403);
    assert_eq!(status("PUT /list/"), 405);
    assert_eq!(status("HEAD /list/"), 200);
    assert_eq!(status("GET /list"), 301);
    limpet.log.wait("directory index of");
}
