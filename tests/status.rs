//! `-s status`, for people and for programs (process model, section 9).
use crate::common::*;

const SERVED: &str = "
    worker_processes 2;
    events { }
    http {
        limit_req_zone $remote_addr zone=clients:64k rate=1000r/s;
        server {
            listen 8080;
            listen unix:@DIR@/socket;
            limit_req zone=clients burst=1000 nodelay;
            location / { return 200 served; }
            location = /gif { empty_gif; }
            location = /big { root @DIR@/html; }
        }
    }
";

fn status(limpet: &Limpet) -> String {
    let output = limpet.run(&["-s", "status"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All of it is up.
fn running(limpet: &Limpet) {
    eventually("it runs", || status(limpet).contains(": running, "));
}

/// What python makes of the JSON, asked for as python.
fn json(limpet: &Limpet, asked: &str) -> Option<String> {
    let Some(python) = program("python3") else {
        skip("needs python3");
        return None;
    };
    let output = limpet.run(&["-s", "status", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let file = limpet.place.write("status.json", &output.stdout);
    let mut command = std::process::Command::new(python);
    let script = format!("import json, sys; s = json.load(open(sys.argv[1])); print({asked})");
    command.args(["-c", &script]).arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{asked}: {output:?}");
    Some(String::from_utf8_lossy(&output.stdout).trim_end().to_string())
}

#[test]
fn it_shows_what_serves() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    let workers = limpet.wait_workers(2);
    running(&limpet);
    let mut client = limpet.client();
    for _ in 0..9 {
        client.get("/");
    }
    client.get("/gif");
    let dir = limpet.place.dir().display();
    // Counts are written down at the end of a turn.
    eventually("all is counted", || status(&limpet).contains("1 handled; 10 requests\n"));
    let table = status(&limpet);
    for line in [
        format!("master {}: running, generation 1, up ", limpet.master().0),
        format!("config {dir}/limpet.conf\n"),
        "last start: generation 1: 2 of 2 workers ready in ".into(),
        format!("listening on 0.0.0.0:{}, unix:{dir}/socket\n", limpet.port(8080)),
        "zone clients: 64 KiB, ".into(),
        "connections: 1 (0 reading, 0 writing, 1 waiting), 1 accepted, 1 handled; ".into(),
    ] {
        assert!(table.contains(&line), "{line} in {table}");
    }
    for worker in &workers {
        assert!(table.contains(&format!(" {} ", worker.0)), "{table}");
    }
    let asked = "s['master']['pid'], s['master']['state'], s['totals']['requests'], \
                 sorted(p['pid'] for p in s['processes']), s['draining'], \
                 s['zones'][0]['pages'] > s['zones'][0]['free_pages'], \
                 s['outcomes']['start']['good']";
    let Some(told) = json(&limpet, asked) else { return };
    let mut pids: Vec<_> = workers.iter().map(|worker| worker.0).collect();
    pids.sort_unstable();
    assert_eq!(told, format!("{} running 10 {pids:?} [] True True", limpet.master().0));
}

#[test]
fn it_shows_what_goes_and_what_went_wrong() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    place.write("html/big", vec![b'x'; 16 << 20]);
    let limpet = Limpet::start_in(place, SERVED);
    limpet.wait_workers(2);
    // Its answer is under way as long as it is not read.
    let mut client = limpet.client();
    client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("it is accepted", || status(&limpet).contains("connections: 1 "));
    assert!(limpet.run(&["-s", "reload"]).status.success());
    limpet.configure("nonsense;");
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("reload failed");
    eventually("only the one that has a client", || {
        status(&limpet).contains("draining: generation 1: 1 workers, 1 connections\n")
    });
    let table = status(&limpet);
    let reason = "last reload: reload failed: unknown directive \"nonsense\" in ";
    assert!(table.contains(reason) && table.contains("reloads refused: 1\n"), "{table}");
    let asked = "s['draining'], s['outcomes']['reload']['good'], s['outcomes']['reload']['ended']";
    let Some(told) = json(&limpet, asked) else { return };
    assert_eq!(told, "[{'generation': 1, 'workers': 1, 'connections': 1}] False 2");
    assert_eq!(client.response().body.len(), 16 << 20);
    eventually("it is gone", || !status(&limpet).contains("draining:"));
}

#[test]
fn a_stopped_server_is_shown_too() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    running(&limpet);
    limpet.master().stop();
    assert!(status(&limpet).contains(": running, "));
    limpet.signal(libc::SIGCONT);
}

#[test]
fn a_single_process_is_shown() {
    if drives_nginx() {
        return;
    }
    let config = SERVED.replace("worker_processes 2;", "master_process off;");
    let limpet = Limpet::start(&config);
    assert_eq!(limpet.get("/").text(), "served");
    let table = status(&limpet);
    assert!(table.contains("single process") && table.contains("listening on "), "{table}");
}

#[test]
fn nobody_to_show_is_an_error() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::prepare(Place::new(), SERVED);
    let output = limpet.run(&["-s", "status"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("limpet.pid\" failed (2: "), "{stderr}");
}
