//! `limpet healthcheck` and `limpet sleep`: what a container's engine runs beside the server.
use crate::common::*;
use std::time::Instant;

const SERVED: &str = "
    events { }
    http {
        access_log off;
        server {
            listen 8080;
            location = / { return 204; }
            location = /moved { return 301 /; }
            location = /ill { return 503; }
        }
        server { listen unix:@DIR@/socket; location / { return 200 here; } }
    }
";

/// The exit code, and what was said.
fn asked(limpet: &Limpet, arguments: &[&str]) -> (Option<i32>, String) {
    let output = limpet.run(arguments);
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn a_server_is_healthy_while_it_answers_well() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(SERVED);
    let url = format!("http://127.0.0.1:{}/", limpet.port(8080));
    let healthy = (Some(0), format!("limpet: {url} answers 204\n"));
    assert_eq!(asked(&limpet, &["healthcheck"]), healthy, "the first address that is listened on");
    assert_eq!(asked(&limpet, &["healthcheck", &url]), healthy);
    assert_eq!(asked(&limpet, &["healthcheck", "/moved"]).0, Some(0));
    let ill = (Some(1), format!("limpet: {url}ill answers 503\n"));
    assert_eq!(asked(&limpet, &["healthcheck", "/ill"]), ill);
    let socket = format!("unix:{}", limpet.place.path("socket").display());
    let answered = (Some(0), format!("limpet: {socket}:/x answers 200\n"));
    assert_eq!(asked(&limpet, &["healthcheck", &format!("{socket}:/x")]), answered);

    limpet.signal(libc::SIGTERM);
    limpet.wait_end();
    let (code, told) = asked(&limpet, &["healthcheck"]);
    assert_eq!(code, Some(1));
    assert!(told.contains("refused"), "{told}");
}

/// The check says `PROXY UNKNOWN` before it asks, as the listener demands.
#[test]
fn a_listener_of_the_proxy_protocol_is_asked_its_way() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(&SERVED.replace("listen 8080", "listen 8080 proxy_protocol"));
    assert_eq!(asked(&limpet, &["healthcheck"]).0, Some(0));
}

#[test]
fn a_server_that_says_nothing_is_not_healthy() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let deaf = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = deaf.local_addr().unwrap().to_string();
    let limpet = Limpet::prepare(place, SERVED);
    let ended = std::thread::spawn(move || {
        // Somebody else's server, which hangs up without a word.
        drop(deaf.accept().unwrap());
    });
    assert_eq!(asked(&limpet, &["healthcheck", &url]).0, Some(1));
    ended.join().unwrap();
}

#[test]
fn sleep_waits() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::prepare(Place::new(), SERVED);
    let began = Instant::now();
    assert_eq!(asked(&limpet, &["sleep", "120ms"]), (Some(0), String::new()));
    assert!(began.elapsed().as_millis() >= 120);
    assert_eq!(asked(&limpet, &["sleep", "long"]).0, Some(1));
}
