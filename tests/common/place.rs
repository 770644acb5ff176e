//! Where a test happens: a directory and a network of its own, both gone afterwards.
//!
//! As root every test gets a network namespace, so that ports in configurations can be
//! plain numbers. Otherwise the numbers 8080 to 8099 of a configuration are replaced by
//! ports taken under a lock; `Place::port` tells which.
use super::kernel;
use std::cell::RefCell;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u16 = 8080;
const LAST: u16 = 8099;

pub struct Place {
    dir: PathBuf,
    network: Option<u64>,
    /// Keeps the network, so that no other gets its number when the test goes to a container's.
    _namespace: Option<fs::File>,
    ports: RefCell<Vec<Port>>,
}

/// A port, and the lock that keeps other tests from it.
struct Port {
    written: u16,
    real: u16,
    _lock: fs::File,
}

impl Place {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("limpet-test-{}-{count}", std::process::id()));
        fs::create_dir(&dir).expect("temporary directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let own = kernel::is_root() && kernel::unshare_network().is_ok();
        let network = own.then(|| super::process::network_of("thread-self"));
        let namespace = fs::File::open("/proc/thread-self/ns/net").ok();
        Self { dir, network, _namespace: namespace, ports: RefCell::default() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The inode of the test's network namespace: what runs in it belongs to the test.
    pub fn network(&self) -> Option<u64> {
        self.network
    }

    /// Writes a file, making its directories.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// The port that stands for `written` in this test.
    pub fn port(&self, written: u16) -> u16 {
        if self.network.is_some() || !(FIRST..=LAST).contains(&written) {
            return written;
        }
        let mut ports = self.ports.borrow_mut();
        if let Some(port) = ports.iter().find(|port| port.written == written) {
            return port.real;
        }
        let port = free_port(written);
        let real = port.real;
        ports.push(port);
        real
    }

    /// `@DIR@` and port numbers filled in.
    pub fn fill(&self, text: &str) -> String {
        let mut text = text.replace("@DIR@", self.dir.to_str().unwrap());
        if self.network.is_none() {
            for written in FIRST..=LAST {
                if text.contains(&written.to_string()) {
                    text = text.replace(&written.to_string(), &self.port(written).to_string());
                }
            }
        }
        text
    }
}

fn free_port(written: u16) -> Port {
    for real in 20000..30000 {
        let lock = std::env::temp_dir().join(format!("limpet-test-port-{real}"));
        let Ok(lock) = fs::File::create(lock) else { continue };
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", real)).is_ok() {
            return Port { written, real, _lock: lock };
        }
    }
    panic!("no free port");
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(network) = self.network {
            super::process::end_all_of_network(network);
        }
        if std::thread::panicking() {
            eprintln!("the test's files are in {}", self.dir.display());
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
