//! Supervisors: the sockets they pass, and what they want to hear (process model, section 6).
use crate::common::*;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

const SERVED: &str = "
    worker_processes 2;
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

/// Opens what it is told from descriptor 3 on, and becomes the server.
const OPENER: &str = r#"
import os, socket, sys
kind, *rest = sys.argv[1:]
at = rest.index("--")
places, command = rest[:at], rest[at + 1:]
opened = []
for place in places:
    if place.startswith("/"):
        s = socket.socket(socket.AF_UNIX); s.bind(place); s.listen()
    elif place.startswith("udp:"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", int(place[4:])))
    elif place.startswith("deaf:"):
        s = socket.socket(); s.bind(("127.0.0.1", int(place[5:])))
    else:
        host, port = place.split(":"); s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, int(port))); s.listen()
    opened.append(s)
high = [os.dup(s.fileno()) for s in opened]
high = [os.dup2(fd, 40 + i, inheritable=False) for i, fd in enumerate(high)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
if kind == "systemd":
    os.environ["LISTEN_FDS"] = str(len(opened))
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDNAMES"] = ":".join("name%d" % i for i in range(len(opened)))
elif kind == "other":
    os.environ["LISTEN_FDS"] = str(len(opened))
    os.environ["LISTEN_PID"] = "1"
else:
    os.environ["NGINX"] = "".join("%d;" % (3 + i) for i in range(len(opened)))
os.execv(command[0], command)
"#;

/// A server that finds these open, or None where there is no python.
fn activated(config: &str, kind: &str, places: impl Fn(&Limpet) -> Vec<String>) -> Option<Limpet> {
    let Some(python) = program("python3") else {
        skip("needs python3");
        return None;
    };
    let mut limpet = Limpet::prepare(Place::new(), config);
    let plain = limpet.command();
    let mut command = Command::new(python);
    command.args(["-c", OPENER, kind]).args(places(&limpet)).arg("--");
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(limpet.place.dir());
    Birth::default().apply(&mut command);
    limpet.launch_as(command);
    Some(limpet)
}

fn tcp(limpet: &Limpet) -> String {
    format!("0.0.0.0:{}", limpet.port(8080))
}

#[test]
fn a_listen_takes_the_socket_of_its_address() {
    if drives_nginx() {
        return;
    }
    let Some(mut limpet) = activated(SERVED, "systemd", |limpet| vec![tcp(limpet)]) else { return };
    limpet.log.wait("2 of 2 workers ready");
    assert_eq!(limpet.get("/").text(), "served");
    let master = limpet.master();
    assert!(master.fds()[&3].starts_with("socket:"), "{:?}", master.fds());
    let environ = std::fs::read(format!("/proc/{}/environ", limpet.workers()[0].0)).unwrap();
    assert!(!String::from_utf8_lossy(&environ).contains("LISTEN_"), "not for workers");
    // It is the socket that a reload keeps, and a listening one: nobody waits in accept.
    limpet.reload(&SERVED.replace("served", "again"));
    assert_eq!(limpet.get("/").text(), "again");
    limpet.signal(libc::SIGQUIT);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
}

#[test]
fn sockets_in_the_variable_of_nginx_are_taken_in_the_foreground() {
    let Some(limpet) = activated(SERVED, "nginx", |limpet| vec![tcp(limpet)]) else { return };
    let workers = limpet.wait_workers(2);
    assert_eq!(limpet.get("/").text(), "served");
    if drives_nginx() {
        return;
    }
    // Nothing has left the terminal: a window that is resized ends nobody.
    limpet.signal(libc::SIGWINCH);
    limpet.log.wait("signal 28 (SIGWINCH) received");
    assert_eq!(limpet.wait_workers(2), workers);
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    if drives_nginx() {
        return;
    }
    let config = SERVED.replace("listen 8080", "listen 8081");
    let Some(limpet) = activated(&config, "other", |limpet| vec![tcp(limpet)]) else { return };
    limpet.log.wait("2 of 2 workers ready");
    assert_eq!(get(limpet.port(8081), "/").text(), "served");
    assert_eq!(limpet.log.count("inherited"), 0);
}

#[test]
fn each_socket_is_checked() {
    if drives_nginx() {
        return;
    }
    let places = |limpet: &Limpet| {
        let (used, other) = (limpet.port(8080), limpet.port(8081));
        vec![format!("deaf:{other}"), format!("127.0.0.1:{other}"), format!("0.0.0.0:{used}")]
    };
    let Some(limpet) = activated(SERVED, "systemd", |limpet| places(limpet).split_off(1)) else {
        return;
    };
    limpet.log.wait("2 of 2 workers ready");
    assert_eq!(limpet.get("/").text(), "served");
    let text = format!(
        "the inherited socket #3 listens on 127.0.0.1:{}, which no \"listen\" names: closed",
        limpet.port(8081)
    );
    assert!(limpet.stderr().contains(&text), "{}", limpet.stderr());
    assert!(!accepts(limpet.port(8081)));
    drop(limpet);
    let deaf = |limpet: &Limpet| vec![places(limpet).remove(0)];
    let Some(limpet) = activated(SERVED, "systemd", deaf) else { return };
    limpet.log.wait("2 of 2 workers ready");
    let text = "the inherited socket #3 is not a listening one, ignored";
    assert!(limpet.stderr().contains(text), "{}", limpet.stderr());
}

#[test]
fn the_name_of_a_lent_unix_socket_stays() {
    if drives_nginx() {
        return;
    }
    let config = SERVED.replace("listen 8080", "listen unix:@DIR@/lent");
    let lent = |limpet: &Limpet| vec![limpet.place.path("lent").to_str().unwrap().to_string()];
    let Some(mut limpet) = activated(&config, "systemd", lent) else { return };
    limpet.log.wait("2 of 2 workers ready");
    let path = limpet.place.path("lent");
    assert_eq!(Client::connect_unix(&path).get("/").text(), "served");
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert!(path.exists(), "the supervisor goes on listening");
}

/// Where a supervisor listens.
struct Supervisor(UnixDatagram);

impl Supervisor {
    fn of(place: &Place) -> Supervisor {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Supervisor(socket)
    }

    fn hear(&self) -> String {
        let mut room = [0; 4096];
        let len = self.0.recv(&mut room).expect("a notification");
        String::from_utf8_lossy(&room[..len]).into_owned()
    }
}

#[test]
fn a_supervisor_hears_of_start_reload_and_stop() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::prepare(Place::new(), SERVED);
    let supervisor = Supervisor::of(&limpet.place);
    let mut command = limpet.command();
    command.env("NOTIFY_SOCKET", limpet.place.path("notify"));
    limpet.launch_as(command);
    let ready = |text: &str| {
        let pid = limpet.master().0;
        assert!(text.starts_with(&format!("READY=1\nMAINPID={pid}\nSTATUS=")), "{text}");
    };
    let text = supervisor.hear();
    ready(&text);
    assert!(text.contains("generation 1: 2 of 2 workers ready in"), "{text}");
    assert_eq!(limpet.get("/").text(), "served", "it is ready when it says so");

    limpet.signal(libc::SIGHUP);
    let text = supervisor.hear();
    let (_, usec) = text.split_once("RELOADING=1\nMONOTONIC_USEC=").expect(&text);
    assert!(usec.lines().next().unwrap().parse::<u64>().unwrap() > 0);
    let text = supervisor.hear();
    ready(&text);
    assert!(text.contains("generation 2: 2 of 2 workers ready in"), "{text}");

    limpet.configure("nonsense on;");
    limpet.signal(libc::SIGHUP);
    assert!(supervisor.hear().starts_with("RELOADING=1"));
    let text = supervisor.hear();
    ready(&text);
    assert!(text.contains("STATUS=reload failed: unknown directive \"nonsense\""), "{text}");

    limpet.signal(libc::SIGQUIT);
    assert!(supervisor.hear().starts_with("STOPPING=1\n"));
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    supervisor.0.set_nonblocking(true).unwrap();
    assert!(supervisor.0.recv(&mut [0; 16]).is_err(), "and nothing else");
}

#[test]
fn a_single_process_tells_as_well() {
    if drives_nginx() {
        return;
    }
    let config = format!("master_process off; {}", SERVED.replace("worker_processes 2;", ""));
    let mut limpet = Limpet::prepare(Place::new(), &config);
    let supervisor = Supervisor::of(&limpet.place);
    let mut command = limpet.command();
    command.env("NOTIFY_SOCKET", limpet.place.path("notify"));
    limpet.launch_as(command);
    assert!(supervisor.hear().starts_with("READY=1\n"));
    assert_eq!(limpet.get("/").text(), "served");
    limpet.signal(libc::SIGTERM);
    assert!(supervisor.hear().starts_with("STOPPING=1\n"));
}

#[test]
fn a_supervisor_that_has_gone_is_no_trouble() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::prepare(Place::new(), SERVED);
    let mut command = limpet.command();
    command.env("NOTIFY_SOCKET", limpet.place.path("nobody"));
    limpet.launch_as(command);
    limpet.log.wait("sendto() NOTIFY_SOCKET failed");
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn notify_fd_gets_its_newline() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::prepare(Place::new(), &format!("notify_fd 7; {SERVED}"));
    let plain = limpet.command();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$@\" 7>notified", "sh"]);
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(limpet.place.dir());
    Birth::default().apply(&mut command);
    limpet.launch_as(command);
    eventually("a newline", || limpet.place.read("notified") == "\n");
    assert_eq!(limpet.get("/").text(), "served");
    assert!(!limpet.master().fds().contains_key(&7), "it is closed then");
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("generation 2: 2 of 2 workers ready");
    assert_eq!(limpet.place.read("notified"), "\n", "once");

    let limpet = Limpet::start(&format!("notify_fd 7; {SERVED}"));
    assert!(limpet.stderr().contains("notify_fd 7 was not opened for us"), "{}", limpet.stderr());
}
