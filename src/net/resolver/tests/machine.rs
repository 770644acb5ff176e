//! What the files of a machine say.

use super::server::{Dns, NO_NAME};
use super::{Paths, Resolver, look_up};
use std::fs;
use std::time::Duration;

/// Files of a machine, in a folder of the test's own.
pub(in crate::net) struct Files(std::path::PathBuf);

impl Files {
    pub fn new(name: &str) -> Files {
        let dir = std::env::temp_dir().join(format!("limpet-dns-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Files(dir)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    pub fn resolver(&self) -> Resolver {
        let path = |name| crate::sys::file::path(self.0.join(name)).unwrap();
        let (hosts, resolv_conf, if_inet6) = (path("hosts"), path("resolv.conf"), path("if_inet6"));
        Resolver::of_files(Paths { hosts, resolv_conf, if_inet6 })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_hosts_file_comes_first_and_is_read_again() {
    let files = Files::new("hosts");
    let dns = Dns::start(|asked| match &asked.name[..] {
        "db.two.example" => vec![asked.records(60, &["10.0.0.9"])],
        "a.b" => vec![asked.records(60, &["10.0.0.8"])],
        _ => vec![asked.flags(NO_NAME)],
    });
    files.write("hosts", "10.0.0.1 app\n");
    files.write(
        "resolv.conf",
        &format!("nameserver {}\nsearch one.example two.example\n", dns.addr),
    );
    let resolver = files.resolver();
    assert_eq!(
        look_up(&resolver, &["app", "App.", "localhost"]),
        ["[10.0.0.1]", "[10.0.0.1]", "[127.0.0.1]"]
    );
    assert_eq!(dns.asked(), [""; 0]);
    assert_eq!(look_up(&resolver, &["db", "a.b"]), ["[10.0.0.9]", "[10.0.0.8]"]);
    // No address of IPv6, so none is asked for.
    assert_eq!(dns.asked(), ["A a.b", "A db.one.example", "A db.two.example"]);
    assert_eq!(look_up(&resolver, &["x.y"]), ["3: Host not found"]);
    assert_eq!(dns.asked(), ["A x.y", "A x.y.one.example", "A x.y.two.example"]);

    files.write("hosts", "10.0.0.1 app\n10.0.0.5 late\n");
    files.write("if_inet6", "fd000000000000000000000000000001 02 40 00 80 eth0\n");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(look_up(&resolver, &["late", "no."]), ["[10.0.0.5]", "3: Host not found"]);
    assert_eq!(dns.asked(), ["A no", "AAAA no"]);
}

#[test]
fn servers_that_say_nothing_are_given_up() {
    let files = Files::new("silent");
    let dns = Dns::start(|_| vec![]);
    let options = "options timeout:1 attempts:1";
    files.write("resolv.conf", &format!("nameserver {}\n{options}\n", dns.addr));
    assert_eq!(look_up(&files.resolver(), &["app"]), ["110: Operation timed out"]);
}
