//! What the methods choose, beside what nginx 1.22 chose with the same configuration.

use super::*;

fn line(text: &str, weight: u32) -> Server {
    let addr = Addr::parse(text, 80).unwrap();
    Server { weight, ..Server::new(text.as_bytes(), Target::Address(addr)) }
}

/// `a` to `d` of weights 2, 1, 3, 1, of which the last is down.
fn ports(method: Method, more: Option<Server>) -> Group {
    let mut servers: Vec<Server> = [2, 1, 3]
        .into_iter()
        .zip(1..)
        .map(|(weight, number)| line(&format!("127.0.0.1:1818{number}"), weight))
        .collect();
    servers.extend(more);
    servers.push(Server { down: true, ..line("127.0.0.1:18184", 1) });
    Group::new(Parts { servers, method, ..Parts::default() })
}

fn letter(lease: &Lease) -> char {
    match lease.addr() {
        Addr::V4(addr) => char::from(b'a' + (addr.port() - 18181) as u8),
        _ => 'u',
    }
}

fn chosen(group: &Group, ask: impl Fn(usize) -> (String, Ip)) -> String {
    let one = |index: usize| {
        let (key, client) = ask(index);
        let ask = Ask { key: key.as_bytes(), client, sticky: b"", now_ms: 0 };
        group.pick(&mut Tries::default(), &ask).map_or('-', |lease| letter(&lease))
    };
    (0..60).map(one).collect()
}

fn by_key(index: usize) -> (String, Ip) {
    (format!("key{index}"), Ip::Unix)
}

#[test]
fn a_key_has_the_peer_it_has_in_nginx() {
    let group = ports(Method::Hash { consistent: false }, None);
    let nginx = "abccbcccacacccaccaccabcacaacbcaacaccccacccccaccbcbcabcbbbcac";
    assert_eq!(chosen(&group, by_key), nginx);
}

#[test]
fn a_place_on_the_circle_is_where_nginx_has_it() {
    let group = ports(Method::Hash { consistent: true }, Some(line("unix:/tmp/upstream.sock", 1)));
    let nginx = "cccaccubaucabcacauaaccaccuaauaucccucccccbaacuucccaaccabcccbc";
    assert_eq!(chosen(&group, by_key), nginx);
}

#[test]
fn a_network_has_the_peer_it_has_in_nginx() {
    let group = ports(Method::IpHash, None);
    let v4 = |index: usize| {
        let index = index as u8;
        (String::new(), Ip::V4([10, index.wrapping_mul(3), index, 7].into()))
    };
    let nginx = "cacacbbcacaacacacbccacacbccacaccacacbbcacacbacacbacacacbccac";
    assert_eq!(chosen(&group, v4), nginx);
    let v6 = |index: usize| {
        let ip = format!("2001:db8::{index:x}").parse().unwrap();
        (String::new(), Ip::V6(ip))
    };
    let nginx = "bcccbaabccccaabccccaabcccaaabcccaaabccccaabccccaabcccaaabccc";
    assert_eq!(chosen(&group, v6), nginx);
}

#[test]
fn keys_of_others_stay_when_one_goes() {
    let circle = |count: u8| {
        let servers = (1..=count).map(server).collect();
        let method = Method::Hash { consistent: true };
        Group::new(Parts { servers, method, ..Parts::default() })
    };
    let (five, four) = (circle(5), circle(4));
    let mut counts = [0; 5];
    for index in 0..5000 {
        let key = format!("session-{index}");
        let ask = Ask { key: key.as_bytes(), ..ask(0) };
        let of = |group: &Group| number(&group.pick(&mut Tries::default(), &ask).ok().unwrap());
        let peer = of(&five);
        counts[peer as usize - 'a' as usize] += 1;
        assert!(peer == 'e' || peer == of(&four), "{key}");
    }
    assert!(counts.iter().all(|count| (700..1300).contains(count)), "{counts:?}");
}

#[test]
fn retries_go_round_all_peers() {
    let methods = [
        Method::Hash { consistent: false },
        Method::Hash { consistent: true },
        Method::IpHash,
        Method::Least(Load::Connections),
        Method::Random { two: None },
        Method::Random { two: Some(Load::Connections) },
    ];
    for method in methods {
        let servers = (1..=9).map(server).collect();
        let group = Group::new(Parts { servers, method, ..Parts::default() });
        let ask = Ask { key: b"key", ..ask(0) };
        let (mut tries, mut seen) = (Tries::default(), Vec::new());
        while let Ok(lease) = group.pick(&mut tries, &ask) {
            seen.push(number(&lease));
        }
        seen.sort_unstable();
        assert_eq!(String::from_iter(seen), "abcdefghi", "{method:?}");
    }
}

#[test]
fn an_empty_key_is_none() {
    for consistent in [false, true] {
        let servers = weighted(&[1, 1]);
        let method = Method::Hash { consistent };
        let group = Group::new(Parts { servers, method, ..Parts::default() });
        assert_eq!(sequence(&group, 4, 0), "abab");
    }
}

#[test]
fn who_has_fewest_is_next() {
    let method = Method::Least(Load::Connections);
    let group = Group::new(Parts { servers: weighted(&[2, 1, 1]), method, ..Parts::default() });
    let pick = || group.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
    let mut held: Vec<Lease> = (0..8).map(|_| pick()).collect();
    let all: String = held.iter().map(number).collect();
    assert_eq!(all.matches('a').count(), 4, "{all}");
    assert_eq!(all.matches('b').count(), 2, "{all}");
    held.retain(|lease| number(lease) != 'c');
    assert_eq!([(); 2].map(|()| pick()).each_ref().map(number), ['c', 'c']);
    drop(held);
    assert_eq!(sequence(&group, 8, 0).matches('a').count(), 4, "by turns if all are equal");
}

#[test]
fn who_answers_soonest_is_next() {
    let time = |inflight| {
        let load = Load::Time { until: Until::Header, inflight };
        let (servers, method) = (weighted(&[1, 1]), Method::Least(load));
        Group::new(Parts { servers, method, ..Parts::default() })
    };
    let group = time(false);
    let (slow, fast) =
        (group.pick(&mut Tries::default(), &ask(0)), group.pick(&mut Tries::default(), &ask(0)));
    slow.ok().unwrap().took_header(90, 200);
    fast.ok().unwrap().took_header(10, 200);
    assert_eq!(sequence(&group, 4, 0), "bbbb");
    let at_once: Vec<_> =
        (0..9).map(|_| group.pick(&mut Tries::default(), &ask(0)).ok().unwrap()).collect();
    assert_eq!(at_once.iter().map(number).collect::<String>(), "bbbbbbbba", "a queue counts");

    let group = time(true);
    let (held, other) =
        (group.pick(&mut Tries::default(), &ask(0)), group.pick(&mut Tries::default(), &ask(0)));
    held.as_ref().ok().unwrap().took_header(10, 200);
    other.ok().unwrap().took_header(30, 200);
    assert_eq!(number(&group.pick(&mut Tries::default(), &ask(0)).ok().unwrap()), 'a');
    assert_eq!(number(&group.pick(&mut Tries::default(), &ask(9)).ok().unwrap()), 'b');
    drop(held);
}

#[test]
fn any_of_them_is_any() {
    for two in [None, Some(Load::Connections)] {
        let (servers, method) = (weighted(&[1, 3]), Method::Random { two });
        let group = Group::new(Parts { servers, method, ..Parts::default() });
        let all = sequence(&group, 4000, 0);
        let share = all.matches('b').count();
        assert!((2700..3300).contains(&share) || two.is_some(), "{share}");
        assert!(all.contains('a') && all.contains('b'));
    }
}

#[test]
fn a_peer_that_comes_back_starts_slowly() {
    let slow = |number| Server { slow_start_ms: 10_000, ..server(number) };
    let group = group(vec![slow(1), slow(2)]);
    assert_eq!(sequence(&group, 4, 100), "abab", "at first all are as good");
    while number(&group.pick(&mut Tries::default(), &ask(100)).ok().unwrap()) != 'b' {}
    let lease = group.pick(&mut Tries::default(), &ask(100)).ok().unwrap();
    assert_eq!(number(&lease), 'a');
    assert!(lease.failed_at(100_000));
    drop(lease);
    let all = sequence(&group, 40, 111);
    assert!(all.matches('a').count() < 4, "{all}");
    let all = sequence(&group, 40, 116);
    assert!((10..18).contains(&all.matches('a').count()), "{all}");
    assert_eq!(sequence(&group, 40, 122).matches('a').count(), 20);
}

#[test]
fn who_drains_or_is_ill_gets_nobody() {
    let group = group(vec![Server { drain: true, ..server(1) }, server(2), server(3)]);
    assert_eq!(sequence(&group, 4, 0), "bcbc");
    let mut peers = Vec::new();
    group.each(|peer| peers.push(Rc::clone(peer)));
    peers[1].set_health(Health::Unhealthy);
    assert!(sequence(&group, 3, 0).contains('b'), "nobody checks");
    group.starts(AtStart::Healthy);
    for health in [Health::Unhealthy, Health::Checking, Health::Draining] {
        peers[1].set_health(health);
        assert_eq!(sequence(&group, 3, 0), "ccc", "{health:?}");
    }
    peers[1].set_health(Health::Healthy);
    assert!(sequence(&group, 3, 0).contains('b'));
}

#[test]
fn clients_stay_where_they_belong() {
    let route = |number, route: &[u8]| Server { route: route.into(), ..server(number) };
    let group = group(vec![server(1), route(2, b"two"), route(3, b"three")]);
    let mut ids = Vec::new();
    group.each(|peer| ids.push(peer.id.clone()));
    assert_eq!(&*ids[0], b"cef54f47984626c9efbf070c50bfad1b", "md5 of 127.0.0.1:80");
    let pick = |id: &[u8], tries: &mut Tries| {
        let ask = Ask { sticky: id, ..ask(0) };
        group.pick(tries, &ask).map_or('-', |lease| number(&lease))
    };
    for (id, expected) in ids.iter().zip(["aaa", "bbb", "ccc"]) {
        let all: String = (0..3).map(|_| pick(id, &mut Tries::default())).collect();
        assert_eq!(all, expected);
    }
    let mut tries = Tries::default();
    let mut all: Vec<char> = (0..4).map(|_| pick(b"two", &mut tries)).collect();
    assert_eq!((all[0], all[3]), ('b', '-'), "then others");
    all.sort_unstable();
    assert_eq!(all, ['-', 'a', 'b', 'c']);
    let all: String = (0..3).map(|_| pick(b"four", &mut Tries::default())).collect();
    assert!(all.contains('a') && all.contains('b') && all.contains('c'), "{all}");
}

#[test]
fn who_drains_keeps_its_clients() {
    let group = group(vec![Server { drain: true, route: b"a"[..].into(), ..server(1) }, server(2)]);
    let ask = Ask { sticky: b"a", ..ask(0) };
    assert_eq!(number(&group.pick(&mut Tries::default(), &ask).ok().unwrap()), 'a');
    assert_eq!(sequence(&group, 2, 0), "bb");
}
