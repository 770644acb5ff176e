//! What each signal does to the master and to a worker (process model, section 4).
use crate::common::*;

const ONE_WORKER: &str = "
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

#[test]
fn term_ends_the_master_and_its_workers() {
    let mut limpet = Limpet::start(ONE_WORKER);
    assert_eq!(limpet.get("/").text(), "served");
    let worker = limpet.workers()[0];
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert!(!worker.lives());
    assert!(!accepts(limpet.port(8080)));
    assert_eq!(limpet.pid_file(), None);
    limpet.log.wait("signal 15 (SIGTERM) received from");
}
