//! Names of groups, in a loop of its own.

use super::*;
use crate::event;
use crate::net::resolver::tests::{Files, run};
use crate::time;

fn named(host: &str) -> Server {
    let target = Target::Name { host: host.as_bytes().into(), port: 80, service: None };
    Server::new(format!("{host}:80").as_bytes(), target)
}

/// A group whose names are in the files.
fn group_of(files: &Files, servers: Vec<Server>) -> Rc<Group> {
    let resolver = Some(files.resolver());
    Rc::new(Group::new(Parts { servers, resolver, ..Parts::default() }))
}

/// Its addresses, and what has no address yet.
fn addresses(group: &Group) -> String {
    let mut all = Vec::new();
    group.each(|peer| all.push(peer.addr.to_string()));
    all.join(" ")
}

/// Waits until the addresses are those; how long that took, in milliseconds.
async fn until(group: &Group, expected: &str) -> u64 {
    let begin = time::now_ms();
    while addresses(group) != expected {
        assert!(time::now_ms() < begin + 8000, "{expected}: {}", addresses(group));
        event::sleep(event::after(20)).await;
    }
    time::now_ms() - begin
}

/// Runs a test beside the task that keeps the groups fresh.
fn beside(groups: Vec<Rc<Group>>, test: impl Future<Output = ()> + 'static) {
    super::super::groups_changed();
    let mut fresh = Box::pin(super::super::keep_fresh(move || groups.clone()));
    // Both in one task, which ends with the test.
    run(vec![Box::pin(async move {
        let mut test = std::pin::pin!(test);
        std::future::poll_fn(|context| {
            let _ = fresh.as_mut().poll(context);
            test.as_mut().poll(context)
        })
        .await;
    })]);
}

#[test]
fn names_follow_what_is_said_of_them() {
    let files = Files::new("refresh");
    files.write("hosts", "10.0.0.1 app\n10.0.0.1 db\n10.0.0.2 db\n");
    files.write("resolv.conf", "nameserver 127.0.0.1:1\noptions timeout:1 attempts:1\n");
    let group = group_of(&files, vec![named("app"), server(9), named("db"), named("late")]);
    let all = group.clone();
    beside(vec![group.clone()], async move {
        until(&group, "10.0.0.1:80 127.0.0.9:80 10.0.0.1:80 10.0.0.2:80").await;
        files.write("hosts", "10.0.0.7 app\n10.0.0.2 db\n10.0.0.8 late\n");
        let lease = group.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
        assert_eq!(lease.name(), b"10.0.0.1:80");
        group.connect_refused(&lease);
        let ms =
            until(&group, "10.0.0.7:80 127.0.0.9:80 10.0.0.1:80 10.0.0.2:80 10.0.0.8:80").await;
        assert!(ms < 3500, "a doubted name is looked up at once, not after {ms} ms");
        until(&group, "10.0.0.7:80 127.0.0.9:80 10.0.0.2:80 10.0.0.8:80").await;
    });
    drop(all);
}

#[test]
fn a_request_looks_up_what_has_no_address() {
    let files = Files::new("resolve");
    files.write("hosts", "10.0.0.1 app\n");
    files.write("resolv.conf", "nameserver 127.0.0.1:1\noptions timeout:1 attempts:1\n");
    let group = group_of(&files, vec![named("nosuch"), named("app")]);
    let lost = group_of(&files, vec![named("nosuch")]);
    run(vec![Box::pin(async move {
        assert!(matches!(group.pick(&mut Tries::default(), &ask(0)), Err(Refusal::Unresolved)));
        assert!(group.resolve(5000).await.is_ok());
        assert_eq!(addresses(&group), "10.0.0.1:80");
        let unresolved = lost.resolve(5000).await.unwrap_err();
        let expected = "nosuch could not be resolved (110: Operation timed out)";
        assert_eq!(unresolved.to_string(), expected);
    })]);
}

#[test]
fn a_name_that_is_gone_keeps_its_address_for_a_while() {
    let files = Files::new("gone");
    let dns = crate::net::resolver::tests::server::Dns::start(|asked| match asked.number {
        0 | 1 => vec![asked.records(1, &["10.0.0.1"])],
        _ => vec![asked.no_name(1)],
    });
    files.write("resolv.conf", &format!("nameserver {}\n", dns.addr));
    let plain = group_of(&files, vec![named("a")]);
    let strict = group_of(&files, vec![Server { resolve: true, ..named("b") }]);
    let groups = vec![plain.clone(), strict.clone()];
    beside(groups, async move {
        until(&plain, "10.0.0.1:80").await;
        until(&strict, "10.0.0.1:80").await;
        until(&strict, "").await;
        event::sleep(event::after(1200)).await;
        assert_eq!(addresses(&plain), "10.0.0.1:80");
        drop(files);
    });
}
