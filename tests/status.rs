//! `-s status`, for people and for programs (process model, section 9).
use crate::common::upstream::Gate;
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

/// Peers that serve, of which nobody is at 8090, and groups of them.
const PROXIED: &str = "
    worker_processes 2;
    events { }
    http {
        access_log off;
        upstream shared {
            zone shared 64k;
            server 127.0.0.1:8081 weight=3;
            server 127.0.0.1:8090 fail_timeout=1h;
            server 127.0.0.1:8082 down;
            server 127.0.0.1:8083 backup;
        }
        server { listen 8081; location / { return 200 served; } location /no { return 404; } }
        server {
            listen 8080;
            location / { proxy_pass http://shared; }
            location = /alone { proxy_pass http://127.0.0.1:8081/; }
        }
    }
";

/// The cells of a peer's row, in the table of its group.
fn row(table: &str, group: &str, address: &str) -> Vec<String> {
    let head = format!("\nupstream {group}\n");
    let (_, rows) = table.split_once(&head).unwrap_or_else(|| panic!("{group} in {table}"));
    let rows = rows.split("\n\n").next().unwrap();
    let lengths: Vec<_> = rows.lines().map(|row| row.chars().count()).collect();
    assert!(lengths.iter().all(|length| *length == lengths[0]), "columns in {table}");
    let row = rows.lines().find(|row| row.trim_start().starts_with(&format!("{address} ")));
    let cells = row.unwrap_or_else(|| panic!("{address} in {table}")).split("  ");
    cells.map(str::trim).filter(|cell| !cell.is_empty()).map(String::from).collect()
}

#[test]
fn upstreams_have_their_peers_and_counts() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(PROXIED);
    limpet.wait_workers(2);
    let at = |port: u16| format!("127.0.0.1:{}", limpet.port(port));
    for _ in 0..5 {
        assert_eq!(limpet.get("/").text(), "served");
    }
    assert_eq!(limpet.get("/no").status, 404);
    assert_eq!(limpet.get("/alone").status, 200);
    let shown = |group: &str, port: u16| row(&status(&limpet), group, &at(port));
    let up = shown("shared, zone shared", 8081);
    // weight, active, requests, fails, 1xx to 5xx
    assert_eq!(up[1..11], ["up", "3", "0", "6", "0", "0", "5", "0", "1", "0"]);
    let sent: u64 = up[12].parse().unwrap();
    let received: u64 = up[11].parse().unwrap();
    assert!(received > 6 * 100 && sent > 6 * 30, "{up:?}");
    assert_eq!(shown("shared, zone shared", 8090)[1..6], ["unavail", "1", "0", "1", "1"]);
    assert_eq!(shown("shared, zone shared", 8082)[1..5], ["down", "1", "0", "0"]);
    assert_eq!(shown("shared, zone shared", 8083)[1..5], ["up, backup", "1", "0", "0"]);
    // Each worker has counted for itself, and here is the sum.
    assert_eq!(shown("127.0.0.1", 8081)[1..5], ["up", "1", "0", "1"]);
    let asked = "[(u['name'], u['zone'], [(p['address'], p['state'], p['processes']) \
                 for p in u['peers']]) for u in s['upstreams']], \
                 s['upstreams'][1]['peers'][0]['responses']['4xx'], \
                 sum(p['kept'] for p in s['processes']) > 0";
    if let Some(told) = json(&limpet, asked) {
        let peer = |port, state, count| format!("('{}', '{state}', {count})", at(port));
        let shared = [(8081, "up"), (8090, "unavail"), (8082, "down"), (8083, "up")];
        let shared = shared.map(|(port, state)| peer(port, state, 1)).join(", ");
        let alone = peer(8081, "up", 2);
        let groups = format!("('127.0.0.1', None, [{alone}]), ('shared', 'shared', [{shared}])");
        assert_eq!(told, format!("[{groups}] 1 True"));
    }

    // A zone goes on, with what its group has now; what each worker counted ends with it.
    let config = PROXIED.replace("server 127.0.0.1:8082 down;", "").replace("weight=3", "weight=2");
    limpet.configure(&config);
    assert!(limpet.run(&["-s", "reload"]).status.success());
    eventually("the old workers are gone", || !status(&limpet).contains(&at(8082)));
    assert_eq!(shown("shared, zone shared", 8081)[1..5], ["up", "2", "0", "6"]);
    assert_eq!(shown("shared, zone shared", 8090)[1..6], ["unavail", "1", "0", "1", "1"]);
    eventually("they took it along", || shown("127.0.0.1", 8081)[1..5] == ["up", "1", "0", "0"]);
}

#[test]
fn requests_in_progress_and_checks_are_shown() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let gate = Gate::default();
    let own = gate.clone();
    let _slow = Upstream::tcp(&place, 8084, move |peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/slow" {
                own.pass();
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let _ill = Upstream::answering(&place, 8085, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let config = "
        events { }
        http {
            access_log off;
            upstream app { zone app 64k; server 127.0.0.1:8084; server 127.0.0.1:8085; }
            server {
                listen 8080;
                location / { proxy_pass http://app; health_check interval=50ms; }
            }
        }";
    let limpet = Limpet::start_in(place, config);
    let at = |port: u16| format!("127.0.0.1:{}", limpet.port(port));
    let shown = |port: u16| row(&status(&limpet), "app, zone app", &at(port));
    eventually("one is ill", || shown(8085)[1] == "unhealthy");
    let mut client = limpet.client();
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("a request in progress", || shown(8084)[1..5] == ["up", "1", "1", "1"]);
    gate.open();
    assert_eq!(client.response().status, 200);
    eventually("it is over", || shown(8084)[3] == "0");
    let asked = "[(p['health_checks']['unhealthy'], p['health_checks']['last_passed'], \
                 p['health_checks']['checks'] > 0, \
                 p['health_checks']['fails'] == p['health_checks']['checks'] or \
                 p['health_checks']['fails']) for p in s['upstreams'][0]['peers']]";
    let Some(told) = json(&limpet, asked) else { return };
    assert_eq!(told, "[(0, True, True, 0), (1, False, True, True)]");
}
