//! A reload changes an address to one that overlaps it (process model, section 6).
use crate::common::*;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

fn listening(address: &str) -> String {
    format!(
        "worker_processes 2; events {{ }}
         http {{ server {{ listen {address}; location / {{ return 200 $server_addr; }} }} }}"
    )
}

fn server_addr(port: u16, host: &str) -> Option<String> {
    let mut client = Client::try_connect((host, port)).ok()?;
    client.try_get("/").ok().map(|response| response.text())
}

/// New connections go on all the time, and no reload is refused.
#[test]
fn an_address_becomes_a_wildcard_and_back_and_nobody_is_refused() {
    let limpet = Limpet::start(&listening("127.0.0.1:8080"));
    let port = limpet.port(8080);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(server_addr(port, "127.0.0.1").as_deref(), Some("127.0.0.1"));
            }
        });
        for _ in 0..3 {
            limpet.reload(&listening("8080"));
            assert_eq!(server_addr(port, "127.0.0.2").as_deref(), Some("127.0.0.2"));
        }
        limpet.reload(&listening("127.0.0.1:8080"));
        eventually("the wildcard is closed", || server_addr(port, "127.0.0.2").is_none());
        done.store(true, Ordering::Relaxed);
        client.join().unwrap();
    });
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}

/// With fewer workers, and without reuseport, nobody who waits in a queue is reset.
#[test]
fn fewer_reuseport_workers_reset_nobody() {
    let config = |workers: u32, options: &str| {
        listening(&format!("8080 {options}"))
            .replace("processes 2", &format!("processes {workers}"))
    };
    let limpet = Limpet::start(&config(4, "reuseport"));
    let port = limpet.port(8080);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(server_addr(port, "127.0.0.1").as_deref(), Some("127.0.0.1"));
            }
        });
        for (workers, options) in [(2, "reuseport"), (1, "reuseport"), (2, ""), (3, "reuseport")] {
            limpet.reload(&config(workers, options));
        }
        done.store(true, Ordering::Relaxed);
        client.join().unwrap();
    });
}

/// Opens a socket, and serves as somebody else.
const OPENER: &str = r#"
import os, socket, sys
s = socket.socket()
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
os.set_inheritable(s.fileno(), True)
os.environ["NGINX"] = "%d;" % s.fileno()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// A socket that another user has opened: the kernel lets nobody else bind beside it.
#[test]
fn another_users_socket_is_a_reason_in_words() {
    if !kernel::is_root() {
        return skip("another user is root's to become");
    }
    let Some(python) = program("python3") else { return skip("needs python3") };
    let mut limpet = Limpet::prepare(Place::new(), &listening("127.0.0.1:8080"));
    let (port, dir) = (limpet.port(8080), limpet.place.dir());
    std::os::unix::fs::chown(dir, Some(65534), Some(65534)).unwrap();
    let server = limpet.command();
    let mut command = Command::new(python);
    command.args(["-c", OPENER, &port.to_string()]).arg(binary());
    command.args(server.get_args()).current_dir(dir);
    Birth::default().apply(&mut command);
    limpet.launch_as(command);
    eventually("it serves", || server_addr(port, "127.0.0.1").is_some());
    limpet.configure(&listening("8080"));
    limpet.signal(libc::SIGHUP);
    let line = limpet.log.wait("reload failed");
    assert!(line.text.contains("whose socket was opened by uid 0"), "{}", line.text);
    assert_eq!(server_addr(port, "127.0.0.1").as_deref(), Some("127.0.0.1"));
}
