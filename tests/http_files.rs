//! Files as they are on disk, now: contents, changes, and what is in the way of them.
use crate::common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const SERVED: &str = "
    events { }
    http {
        access_log off;
        types { text/plain txt; }
        server {
            listen 8080 sndbuf=32k;
            root @DIR@/html;
            location /nosendfile/ { sendfile off; alias @DIR@/html/; }
            location /sendfile/ { sendfile on; alias @DIR@/html/; }
            location /trailed/ { add_trailer X-Trailer yes; alias @DIR@/html/; }
        }
    }
";

fn start(files: &[(&str, &str)]) -> Limpet {
    let place = Place::new();
    fs::create_dir(place.path("html")).unwrap();
    for (name, content) in files {
        place.write(&format!("html/{name}"), content);
    }
    Limpet::start_in(place, SERVED)
}

/// Not the same bytes anywhere, so that a shifted or repeated piece is seen.
fn numbered(length: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|number: u32| format!("{number:08}\n").into_bytes());
    lines.take(length).collect()
}

#[test]
fn files_of_all_sizes_arrive_whole() {
    let limpet = start(&[]);
    let sizes =
        [0, 1, 1023, 1024, 4095, 4096, 16384, 32767, 32768, 32769, 65536, 1_000_003, 9_999_999];
    for size in sizes {
        limpet.place.write(&format!("html/{size}.txt"), numbered(size));
    }
    let mut client = limpet.client();
    for prefix in ["", "/nosendfile", "/sendfile"] {
        for size in sizes {
            let response = client.get(&format!("{prefix}/{size}.txt"));
            assert_eq!(response.header("content-length"), size.to_string());
            assert!(response.body == numbered(size), "{prefix}/{size}.txt differs");
        }
    }
}

#[test]
fn a_slow_reader_gets_every_byte() {
    let limpet = start(&[]);
    limpet.place.write("html/big.txt", numbered(1_000_000));
    for prefix in ["/nosendfile", "/sendfile"] {
        let mut client = limpet.client();
        kernel::shrink_receive_buffer(client.tcp());
        client
            .send(format!("GET {prefix}/big.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        limpet.get("/none");
        let bytes = client.rest();
        let body = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert!(bytes[body..] == numbered(1_000_000), "{prefix} differs");
    }
}

/// Whatever is kept of a file, a change is seen by the next request.
/// A body with trailers leaves in chunks, one of several parts, too.
#[test]
fn several_ranges_leave_in_chunks_where_trailers_follow() {
    let limpet = start(&[("few.txt", "0123456789")]);
    limpet.place.write("html/many.txt", numbered(100_000));
    let mut client = limpet.client();
    for (name, all) in [("few", b"0123456789".to_vec()), ("many", numbered(100_000))] {
        client.send(format!(
            "GET /trailed/{name}.txt HTTP/1.1\r\nHost: localhost\r\nRange: bytes=1-2,5-\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!((response.status, response.header("transfer-encoding")), (206, "chunked"));
        let body = response.text();
        let text = String::from_utf8(all).unwrap();
        assert!(body.contains(&format!("\r\n\r\n{}\r\n--", &text[1..3])), "{body:.300}");
        assert!(body.contains(&format!("\r\n\r\n{}\r\n--", &text[5..])), "{body:.300}");
        assert!(body.ends_with("--\r\n"), "{name}");
    }
    let response = exchange(
        8080,
        "GET /trailed/few.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: bytes=99-\r\n\r\n",
    );
    assert!(response.starts_with("HTTP/1.1 416 ") && !response.contains("X-Trailer"), "{response}");
}

#[test]
fn changes_are_seen_at_once() {
    let limpet = start(&[("file.txt", "first")]);
    let path = limpet.place.path("html/file.txt");
    let mut client = limpet.client();
    for _ in 0..3 {
        assert_eq!(client.get("/file.txt").text(), "first");
    }
    for round in 0..50 {
        let content = format!("content {round}");
        if round % 2 == 0 {
            fs::write(&path, &content).unwrap();
        } else {
            let new = limpet.place.write("html/new.txt", &content);
            fs::rename(new, &path).unwrap();
        }
        let response = client.get("/file.txt");
        assert_eq!(response.text(), content);
        assert_eq!(client.get("/file.txt").text(), content);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(client.get("/file.txt").status, 404);
    fs::write(&path, "again").unwrap();
    assert_eq!(client.get("/file.txt").text(), "again");
}

#[test]
fn swapped_links_and_directories_are_seen_at_once() {
    let limpet = start(&[("a/file.txt", "of a"), ("b/file.txt", "of b")]);
    let link = limpet.place.path("html/current");
    let mut client = limpet.client();
    for round in 0..20 {
        let target = ["a", "b"][round % 2];
        let new = limpet.place.path("html/next");
        std::os::unix::fs::symlink(target, &new).unwrap();
        fs::rename(&new, &link).unwrap();
        for _ in 0..2 {
            assert_eq!(client.get("/current/file.txt").text(), format!("of {target}"));
        }
    }
    fs::rename(limpet.place.path("html/a"), limpet.place.path("html/c")).unwrap();
    fs::rename(limpet.place.path("html/b"), limpet.place.path("html/a")).unwrap();
    assert_eq!(client.get("/a/file.txt").text(), "of b");
    assert_eq!(client.get("/c/file.txt").text(), "of a");
    assert_eq!(client.get("/b/file.txt").status, 404);
}

#[test]
fn a_change_changes_the_validators() {
    let limpet = start(&[("file.txt", "first")]);
    let mut client = limpet.client();
    let first = client.get("/file.txt");
    let etag = first.header("etag");
    let conditional = format!("GET /file.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: {etag}\r\n\r\n");
    client.send(&conditional);
    assert_eq!(client.response().status, 304);
    fs::write(limpet.place.path("html/file.txt"), "second, longer").unwrap();
    client.send(&conditional);
    let second = client.response();
    assert_eq!((second.status, &*second.text()), (200, "second, longer"));
    assert_ne!(second.header("etag"), etag);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let limpet = start(&[]);
    for prefix in ["/nosendfile", "/sendfile"] {
        let path = limpet.place.write("html/big.txt", numbered(1_000_000));
        let mut client = limpet.client();
        kernel::shrink_receive_buffer(client.tcp());
        client.send(format!("GET {prefix}/big.txt HTTP/1.1\r\nHost: a\r\n\r\n"));
        limpet.get("/none");
        fs::write(&path, "short now").unwrap();
        let bytes = client.try_rest().unwrap_or_default();
        assert!(bytes.len() < 1_000_000, "{prefix}");
        assert_eq!(limpet.get("/big.txt").text(), "short now");
    }
}

#[test]
fn what_is_no_readable_file_is_refused() {
    let limpet = start(&[("file.txt", "a file"), ("secret.txt", "secret"), ("dir/x.txt", "x")]);
    let html = limpet.place.path("html");
    fs::set_permissions(html.join("secret.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    kernel::make_fifo(&html.join("fifo.txt"));
    std::os::unix::fs::symlink("nowhere", html.join("dangling.txt")).unwrap();
    std::os::unix::fs::symlink("loop.txt", html.join("loop.txt")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(html.join("socket.txt")).unwrap();
    let mut client = limpet.client();
    let mut status = |target| client.get(target).status;
    if kernel::is_root() {
        assert_eq!(status("/secret.txt"), 403);
        limpet.log.wait("secret.txt\" failed (13: Permission denied)");
    }
    assert_eq!(status("/fifo.txt"), 404);
    assert_ne!(status("/socket.txt"), 200);
    assert_eq!(status("/dangling.txt"), 404);
    assert_eq!(status("/loop.txt"), 403);
    assert_eq!(status("/dir/"), 403);
    limpet.log.wait("directory index of");
    assert_eq!(status("/file.txt/x"), 404);
    assert_eq!(status(&format!("/{}", "n".repeat(300))), 404);
}

#[test]
fn nothing_above_the_root_is_reached() {
    let limpet = start(&[("file.txt", "a file")]);
    limpet.place.write("secret.txt", "secret");
    for target in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/x/../../secret.txt",
        "/sendfile../secret.txt",
        "/sendfile/../../secret.txt",
        "/sendfile/..%2f..%2fsecret.txt",
        "//../secret.txt",
        "/.%2e/secret.txt",
        "/..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "/..%00/secret.txt",
        "/..;/secret.txt",
    ] {
        let answer = exchange(
            limpet.port(8080),
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        );
        assert!(!answer.contains("\r\n\r\nsecret"), "{target}: {answer}");
    }
}

const CHECKED: &str = "
    events { }
    http {
        access_log off;
        server {
            listen 8080;
            root @DIR@/html;
            disable_symlinks on from=@DIR@/html;
            location /off/ { alias @DIR@/html/; disable_symlinks off; }
            location /owner/ { alias @DIR@/html/; disable_symlinks if_not_owner; }
            location /link/ { alias @DIR@/link/; disable_symlinks on; }
            location /from/ { alias @DIR@/link/; disable_symlinks on from=$document_root; }
        }
    }
";

#[test]
fn links_are_followed_as_far_as_wanted() {
    let place = Place::new();
    place.write("html/file.txt", "a file");
    place.write("html/dir/file.txt", "another");
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, place.path(name)).unwrap();
    };
    link("file.txt", "html/link.txt");
    link("dir", "html/linked");
    link("html", "link");
    link("file.txt", "html/foreign.txt");
    if kernel::is_root() {
        std::os::unix::fs::lchown(place.path("html/foreign.txt"), Some(1), None).unwrap();
    }
    let limpet = Limpet::start_in(place, CHECKED);
    let mut client = limpet.client();
    // Twice: that a file is known through a link that may be followed helps no other.
    for _ in 0..2 {
        for (target, status) in [
            ("/off/link.txt", 200),
            ("/off/linked/file.txt", 200),
            ("/file.txt", 200),
            ("/dir/file.txt", 200),
            ("/link.txt", 403),
            ("/linked/file.txt", 404),
            ("/none.txt", 404),
            ("/owner/link.txt", 200),
            ("/link/file.txt", 404),
            ("/from/file.txt", 200),
            ("/from/link.txt", 403),
        ] {
            assert_eq!(client.get(target).status, status, "{target}");
        }
        if kernel::is_root() {
            assert_eq!(client.get("/owner/foreign.txt").status, 403);
        }
    }
    // A directory that becomes a link to itself, as it were, is one at once.
    let dir = limpet.place.path("html/dir");
    fs::rename(&dir, limpet.place.path("html/moved")).unwrap();
    std::os::unix::fs::symlink("moved", dir).unwrap();
    assert_eq!(client.get("/dir/file.txt").status, 404);
    assert_eq!(client.get("/moved/file.txt").status, 200);
    limpet.log.wait("openat() \"");
}

/// With `open_file_cache` a file may be as it was a while ago, if it is asked for often.
#[test]
fn what_is_cached_is_believed_for_a_while() {
    let place = Place::new();
    let names = ["plain", "valid", "uses", "short", "missing"];
    for name in &names[..4] {
        place.write(&format!("html/{name}.txt"), "first");
    }
    let limpet = Limpet::start_in(
        place,
        "events { } http { access_log off; server { listen 8080; root @DIR@/html;
             location /valid { open_file_cache max=10; }
             location /uses { open_file_cache max=10; open_file_cache_min_uses 3; }
             location /short { open_file_cache max=10 inactive=1s; }
             location /missing { open_file_cache max=10; open_file_cache_errors on; }
         } }",
    );
    let mut client = limpet.client();
    // Files that are too young are not kept at all.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let replace = |name: &str, content: &str| {
        let new = limpet.place.write("html/new", content);
        fs::rename(new, limpet.place.path(&format!("html/{name}.txt"))).unwrap();
    };
    let mut get = |name: &str| client.get(&format!("/{name}.txt")).text();
    for name in names {
        get(name);
    }
    for name in names {
        replace(name, "second");
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!((get("plain"), get("valid")), ("second".into(), "first".into()));
    // The second and the third use look, and the next one does not.
    assert_eq!((get("uses"), get("uses")), ("second".into(), "second".into()));
    replace("uses", "third");
    assert_eq!(get("uses"), "second");
    assert!(get("missing").contains("404"));
    assert_eq!(get("short"), "first");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    if !drives_nginx() {
        // nginx forgets only when it opens other files.
        assert_eq!(get("short"), "second");
    }
    assert_eq!(get("valid"), "first");
}
