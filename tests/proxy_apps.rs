//! Real applications behind the proxy, and real clients before it: what Debian has of Python's
//! servers and clients, curl, and nginx as an upstream.
//!
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::*;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Debian's, which has the packages of Debian.
const PYTHON: &str = "/usr/bin/python3";

const SERVED: &str = "
    worker_processes 1; error_log @DIR@/error.log info;
    events { }
    http {
        access_log off; client_max_body_size 0; client_body_temp_path @DIR@/temp;
        map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
        server {
            listen 8080;
            location / {
                proxy_pass http://127.0.0.1:8090;
                proxy_http_version 1.1;
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
            }
            location /unbuffered/ {
                proxy_pass http://127.0.0.1:8090/;
                proxy_http_version 1.1;
                proxy_set_header Connection '';
                proxy_request_buffering off; proxy_buffering off;
            }
            location /ping { return 200 pong; }
        }
    }
";

/// A program that is ended with its test.
struct App(Child);

impl App {
    /// Started in the test's directory; returns when it takes connections.
    fn start(place: &Place, program: &str, arguments: &[&str]) -> Self {
        let log = std::fs::File::create(place.path("app.log")).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(place.dir()).env("PYTHONUNBUFFERED", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut app = Self(command.spawn().unwrap());
        let port = place.port(8090);
        eventually("the application listens", || {
            let ended = app.0.try_wait().unwrap();
            assert!(ended.is_none(), "{}", place.read("app.log"));
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        app
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let pid = self.0.id() as kernel::Pid;
        let _ = kernel::kill(pid, libc::SIGTERM);
        if Process(pid).wait_end_within(LIMIT).is_none() {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

/// Whether Debian's Python can import these; says so where it cannot.
fn has(modules: &str) -> bool {
    let found = Command::new(PYTHON)
        .args(["-c", &format!("import {modules}")])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        skip(&format!("Debian's packages for Python's {modules} are not installed"));
    }
    found
}

/// Runs a script of a client against the port, in a process of its own.
fn client(limpet: &Limpet, script: &str) {
    let path = limpet.place.write("client.py", script);
    let mut command = Command::new(PYTHON);
    command.arg(path).arg(limpet.port(8080).to_string());
    // Ten thousand messages are a lot for Python on a busy machine.
    let output = output_within(&limpet.place, command, Duration::from_secs(180));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}\n{}", limpet.place.read("app.log"));
}

fn start(place: Place) -> Limpet {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir(place.path("temp")).unwrap();
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(place.path("temp"), all).unwrap();
    Limpet::start_in(place, SERVED)
}

const ASGI: &str = r#"
import asyncio, hashlib

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            event = await receive()
            if event["type"] != "websocket.receive":
                return
            await send({**event, "type": "websocket.send"})
    if scope["type"] != "http":
        return
    digest, length, more = hashlib.sha1(), 0, True
    while more:
        event = await receive()
        digest.update(event.get("body", b""))
        length += len(event.get("body", b""))
        more = event.get("more_body", False)
    path = scope["path"]
    headers = [(b"content-type", b"text/plain"), (b"x-path", scope["raw_path"])]
    if path.endswith("/events"):
        headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(5):
            body = b"data: %d\n\n" % number
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b""})
        return
    body = ("%s %d %s" % (scope["method"], length, digest.hexdigest())).encode()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"#;

fn uvicorn(place: &Place) -> App {
    place.write("app.py", ASGI);
    let port = place.port(8090).to_string();
    let arguments = ["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", &port];
    App::start(place, PYTHON, &arguments)
}

#[test]
fn uvicorn_is_asked_by_requests_and_httpx() {
    if !has("uvicorn, requests, httpx") {
        return;
    }
    let place = Place::new();
    let _app = uvicorn(&place);
    let limpet = start(place);
    client(
        &limpet,
        r#"
import asyncio, hashlib, sys
import requests, httpx
base = "http://127.0.0.1:%s" % sys.argv[1]

def expected(method, body):
    return "%s %d %s" % (method, len(body), hashlib.sha1(body).hexdigest())

def pieces(body):
    for at in range(0, len(body), 10000):
        yield body[at:at + 10000]

session = requests.Session()
for prefix in "/", "/unbuffered/":
    for body in b"", b"hello", bytes(range(256)) * 2000:
        for method in "POST", "PUT", "PATCH", "DELETE":
            answer = session.request(method, base + prefix + "x", data=body)
            assert (answer.status_code, answer.text) == (200, expected(method, body)), answer.text
            answer = session.request(method, base + prefix + "x", data=pieces(body))
            assert answer.text == expected(method, body), answer.text
    assert session.get(base + prefix + "a%20b/c?d=e").headers["x-path"].endswith("/a%20b/c")
    assert session.head(base + prefix).status_code == 200
    assert session.options(base + prefix).text == expected("OPTIONS", b"")

with requests.get(base + "/events", stream=True) as answer:
    events = [line for line in answer.iter_lines() if line]
assert events == [b"data: %d" % number for number in range(5)], events

async def many():
    async with httpx.AsyncClient() as client:
        body = b"x" * 5000
        tasks = [client.post(base + "/%d" % number, content=body) for number in range(200)]
        for answer in await asyncio.gather(*tasks):
            assert answer.text == expected("POST", body), answer.text
asyncio.run(many())
"#,
    );
}

#[test]
fn websockets_carry_ten_thousand_messages() {
    if !has("uvicorn, websockets") {
        return;
    }
    let place = Place::new();
    let _app = uvicorn(&place);
    let limpet = start(place);
    client(
        &limpet,
        r#"
import asyncio, sys
import websockets

async def talk(count):
    async with websockets.connect("ws://127.0.0.1:%s/socket" % sys.argv[1]) as socket:
        for number in range(count):
            text = "message %d " % number + "x" * (number % 400)
            await socket.send(text)
            assert await socket.recv() == text
        large = bytes(range(256)) * 2000
        await socket.send(large)
        assert await socket.recv() == large
        await (await socket.ping())

async def main():
    await asyncio.gather(*[talk(1000) for _ in range(10)])
asyncio.run(main())
"#,
    );
}

#[test]
fn gunicorn_is_asked_by_curl() {
    let (Some(gunicorn), Some(curl)) = (program("gunicorn"), program("curl")) else {
        return skip("gunicorn or curl is not installed");
    };
    let place = Place::new();
    place.write(
        "app.py",
        r#"
def app(environ, start_response):
    length = 0
    while True:
        piece = environ["wsgi.input"].read(65536)
        if not piece:
            break
        length += len(piece)
    status = environ["PATH_INFO"].strip("/") or "200 OK"
    seen_for = environ.get("HTTP_X_FORWARDED_FOR", "")
    start_response(status, [("Content-Type", "text/plain"), ("X-For", seen_for)])
    words = environ["REQUEST_METHOD"], length, environ["QUERY_STRING"]
    return [("%s %d %s\n" % words).encode()]
"#,
    );
    let port = place.port(8090);
    let bind = format!("127.0.0.1:{port}");
    let _app = App::start(&place, gunicorn.to_str().unwrap(), &["-b", &bind, "-w", "2", "app:app"]);
    place.write("body", vec![b'b'; 3_000_000]);
    let limpet = start(place);
    let base = format!("http://127.0.0.1:{}", limpet.port(8080));
    for (arguments, expected) in [
        (vec!["/?a=b"], "GET 0 a=b\n"),
        (vec!["-d", "hello", "/"], "POST 5 \n"),
        (vec!["-T", "body", "/200%20OK"], "PUT 3000000 \n"),
        (vec!["-T", "body", "/unbuffered/200%20OK"], "PUT 3000000 \n"),
        (
            vec!["--data-binary", "@body", "-H", "Transfer-Encoding: chunked", "/"],
            "POST 3000000 \n",
        ),
        (vec!["--http1.0", "-X", "DELETE", "/"], "DELETE 0 \n"),
        (vec!["/404%20Not%20Found"], "GET 0 \n"),
    ] {
        let mut command = Command::new(&curl);
        let (target, options) = arguments.split_last().unwrap();
        command
            .arg("-s")
            .args(options)
            .arg(format!("{base}{target}"))
            .current_dir(limpet.place.dir());
        let output = output(&limpet.place, command);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{arguments:?}");
    }
    assert_eq!(limpet.get("/").header("x-for"), "127.0.0.1");
}

#[test]
fn files_of_pythons_server_arrive_whole() {
    let place = Place::new();
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    place.write("www/large.bin", &body);
    place.write("www/dir/index.html", "<p>index</p>\n");
    let port = place.port(8090).to_string();
    let arguments = ["-m", "http.server", &port, "--bind", "127.0.0.1", "-d", "www"];
    let _app = App::start(&place, PYTHON, &arguments);
    let limpet = start(place);
    for target in ["/large.bin", "/unbuffered/large.bin"] {
        let response = limpet.get(target);
        assert_eq!(response.status, 200);
        assert!(response.body == body, "{target}");
    }
    let response = limpet.get("/dir");
    assert_eq!((response.status, response.header("location")), (301, "/dir/"));
    assert_eq!(limpet.get("/dir/").text(), "<p>index</p>\n");
    assert_eq!(limpet.get("/none").status, 404);
}

/// nginx behind, with its own idea of keep-alive, chunks and ranges; wrk before.
#[test]
fn nginx_as_an_upstream_is_loaded_without_a_failure() {
    let (Some(nginx), Some(wrk)) = (program("nginx"), program("wrk")) else {
        return skip("nginx or wrk is not installed");
    };
    let place = Place::new();
    place.write("html/1k.txt", vec![b'x'; 1024]);
    place.write("html/1m.bin", vec![b'y'; 1 << 20]);
    let config = place.fill(
        "daemon off; master_process off; pid @DIR@/upstream.pid; error_log @DIR@/upstream.log;
         events { }
         http { access_log off; server { listen 127.0.0.1:8090; root @DIR@/html; } }",
    );
    let path = place.write("upstream.conf", config);
    let arguments = ["-c", path.to_str().unwrap(), "-e", "upstream.log"];
    let _app = App::start(&place, nginx.to_str().unwrap(), &arguments);
    let limpet = start(place);
    assert_eq!(limpet.get("/1m.bin").body.len(), 1 << 20);
    for (target, connections) in [("/1k.txt", "-c64"), ("/1m.bin", "-c8")] {
        let url = format!("http://127.0.0.1:{}{target}", limpet.port(8080));
        let mut command = Command::new(&wrk);
        command.args(["-t1", connections, "-d2s", &url]);
        let report = output(&limpet.place, command);
        let report = String::from_utf8_lossy(&report.stdout).into_owned();
        println!("{report}");
        assert!(report.contains("requests in"), "{report}");
        assert!(!report.contains("Non-2xx") && !report.contains("Socket errors"), "{report}");
    }
    limpet.log.has_none_of(&["alert", "emerg", "crit", "error"]);
}
