//! What several processes know of one peer.

use super::*;
use crate::shm::directory::Directory;
use crate::shm::zone::Zone;
use crate::sys::process::{self, Fork, Pid, Status};
use std::sync::atomic::Ordering::Relaxed;

/// A zone that is live.
fn opened(directory: &mut Directory, size: usize) -> Handle {
    let handle = directory.declare(spec("peers", size)).unwrap();
    directory.open(crate::shm::directory::Before::Nothing, |_, _| {}).unwrap();
    handle
}

fn shared(zone: &Handle, servers: Vec<Server>) -> Group {
    Group::new(Parts {
        name: b"u"[..].into(),
        servers,
        memory: Memory::Shared(zone.clone()),
        ..Parts::default()
    })
}

fn zone(handle: &Handle) -> &Zone {
    handle.zone().unwrap()
}

/// Does `work` in a process that ends with it.
fn in_child(work: impl FnOnce()) -> Pid {
    match process::fork().unwrap() {
        Fork::Child => {
            work();
            process::exit(0)
        }
        Fork::Parent(pid) => {
            assert_eq!(process::waitpid(pid), Ok(Status::Exited(0)));
            pid
        }
    }
}

#[test]
fn groups_of_one_name_know_the_same() {
    let zone = opened(&mut Directory::default(), 65536);
    let (one, two) = (shared(&zone, weighted(&[1, 1])), shared(&zone, weighted(&[1, 1])));
    assert_eq!(sequence(&one, 1, 0), "a");
    assert_eq!(sequence(&two, 1, 0), "b");
    let lease = one.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
    assert!(lease.failed_at(0));
    assert_eq!(sequence(&two, 3, 0), "bbb");
}

#[test]
fn what_a_checker_found_is_for_one_generation() {
    let record = super::record::own();
    let begun = |generation, at_start| {
        record.begin_health(generation, at_start);
        record.health(generation)
    };
    assert_eq!(begun(1, AtStart::Kept), Health::Checking, "nobody knew it");
    record.set_health(1, Health::Unhealthy);
    assert_eq!(begun(1, AtStart::Healthy), Health::Unhealthy, "the generation has begun");
    assert_eq!(begun(2, AtStart::Kept), Health::Unhealthy);
    assert_eq!(begun(3, AtStart::Healthy), Health::Healthy);
    assert_eq!(begun(4, AtStart::Checking), Health::Checking);
    assert_eq!(record.health(2), Health::Unhealthy, "it may be the one that serves on");
    assert_eq!(begun(5, AtStart::Healthy), Health::Healthy);
    assert_eq!(record.health(1), Health::Healthy, "of what is long over the newest counts");
}

#[test]
fn limits_are_for_all_and_the_dead_hold_nothing() {
    let handle = opened(&mut Directory::default(), 65536);
    let servers = || vec![Server { max_conns: 2, ..server(1) }, Server { down: true, ..server(2) }];
    let group = shared(&handle, servers());
    group.start();
    let dead = in_child(|| {
        let own = shared(&handle, servers());
        let held = [(); 3].map(|()| own.pick(&mut Tries::default(), &ask(0)).ok());
        assert_eq!(held.iter().flatten().count(), 2);
        std::mem::forget(held);
    });
    assert_eq!(sequence(&group, 1, 0), "-");
    zone(&handle).forget(dead);
    assert_eq!(sequence(&group, 2, 0), "aa");
    let _held = group.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
    zone(&handle).forget(dead);
    let _more = group.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
    assert_eq!(sequence(&group, 1, 0), "-");
}

#[test]
fn shares_hold_over_processes() {
    let handle = opened(&mut Directory::default(), 65536);
    let count = |group: &Group| {
        let mut counts = Vec::new();
        group.each(|peer| counts.push(peer.record().requests.load(Relaxed)));
        counts
    };
    let mut children = Vec::new();
    for _ in 0..3 {
        let Fork::Parent(pid) = process::fork().unwrap() else {
            let group = shared(&handle, weighted(&[5, 3, 2]));
            (0..10_000).for_each(|_| drop(group.pick(&mut Tries::default(), &ask(0))));
            process::exit(0)
        };
        children.push(pid);
    }
    children.iter().for_each(|pid| assert!(process::waitpid(*pid).is_ok()));
    let group = shared(&handle, weighted(&[5, 3, 2]));
    group.start();
    let counts = count(&group);
    assert_eq!(counts.iter().sum::<u64>(), 30_000);
    for (count, expected) in counts.into_iter().zip([15_000_u64, 9_000, 6_000]) {
        assert!(count.abs_diff(expected) < 300, "{count} of {expected}");
    }
}

#[test]
fn a_zone_made_empty_is_filled_again() {
    let handle = opened(&mut Directory::default(), 65536);
    let group = shared(&handle, vec![Server { max_conns: 1, ..server(1) }]);
    let held = group.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
    zone(&handle).lock().unwrap().rebuild();
    let new = group.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
    drop(held);
    drop(new);
    assert_eq!(sequence(&group, 2, 0), "aa");
}

#[test]
fn addresses_that_went_make_room() {
    let handle = opened(&mut Directory::default(), 32768);
    let name = Target::Name { host: b"app"[..].into(), port: 80, service: None };
    let group = shared(&handle, vec![Server::new(b"app", name)]);
    group.start();
    let of =
        |number: u32| Addr::parse(&format!("10.0.{}.{}", number / 200, number % 200), 80).unwrap();
    for number in 0..1000 {
        group.set_addresses(0, &[of(number), of(number + 1)]);
        group.each(|peer| assert!(peer.account.is_shared(), "{number}"));
    }
    // Those of a process that left nothing but its records.
    let dead = in_child(|| {
        let own = shared(&handle, weighted(&[1; 20]));
        own.start();
    });
    zone(&handle).forget(dead);
    let addresses: Vec<Addr> = (0..30).map(of).collect();
    group.set_addresses(0, &addresses);
    let mut shared = 0;
    group.each(|peer| shared += usize::from(peer.account.is_shared()));
    assert!(shared >= 30, "{shared}");
    let too_many: Vec<Addr> = (0..200).map(of).collect();
    group.set_addresses(0, &too_many);
    let (mut tries, mut picked) = (Tries::default(), 0);
    while group.pick(&mut tries, &ask(0)).is_ok() {
        picked += 1;
    }
    assert_eq!(picked, 200, "what has no room in the zone is counted by each worker");
}

#[test]
fn peers_are_seen_from_outside() {
    let mut directory = Directory::default();
    let handle = opened(&mut directory, 65536);
    let alone = directory.declare(unnamed()).unwrap();
    directory.open(crate::shm::directory::Before::Nothing, |_, _| {}).unwrap();
    let lines = || vec![Server { max_fails: 1, ..server(1) }, Server { down: true, ..server(2) }];
    let group = |memory| {
        Group::new(Parts { name: b"g"[..].into(), servers: lines(), memory, ..Parts::default() })
    };
    let (shared, own) = (group(Memory::Shared(handle)), group(Memory::Seen(alone.clone())));
    shared.start();
    let dead = in_child(|| {
        let own = group(Memory::Seen(alone.clone()));
        own.start();
        drop(own.pick(&mut Tries::default(), &ask(0)));
    });
    own.start();
    let lease = own.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
    lease.took_header(3, 204);
    assert!(lease.failed_at(0));
    let look = |zone: &str| {
        let now = seen::Now { ms: 0, generation: 1 };
        let peers = seen::peers(process::getpid(), now).into_iter();
        peers.filter(|(at, _)| at.group == "g" && at.zone == zone).map(|(_, it)| it).collect()
    };
    let both: Vec<seen::Peer> = look("");
    let first = &both[0];
    assert_eq!((both.len(), first.state, first.requests), (2, seen::State::Unavail, 2));
    assert_eq!((first.active, first.fails, first.responses), (1, 1, [0, 1, 0, 0, 0]));
    assert_eq!((first.processes, first.unavail_in, both[1].state), (2, 1, seen::State::Down));
    zone(&alone).forget(dead);
    assert_eq!((look("")[0].processes, look("")[0].requests), (1, 1), "the dead take theirs along");
    assert_eq!(look("peers").len(), 2);
    shared.each(|peer| peer.account.close());
    assert!(look("peers").is_empty(), "nobody has it open");
}
