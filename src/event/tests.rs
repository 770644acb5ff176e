//! The loop with real sockets: each test has its thread, and so its own reactor.

use super::*;
use crate::sys::addr::Addr;
use crate::sys::errno::Errno;
use crate::sys::socket;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

/// What the conversations of a test have noted, in order.
type Notes = Rc<RefCell<Vec<String>>>;

fn note(notes: &Notes, text: impl Into<String>) {
    notes.borrow_mut().push(text.into());
}

fn reactor_for(connections: usize) -> &'static Reactor {
    Reactor::install(connections).unwrap().unwrap()
}

fn listen(reactor: &Reactor) -> u16 {
    let addr = Addr::parse("127.0.0.1:1", 0).unwrap();
    let Addr::V4(mut any) = addr else { unreachable!() };
    any.set_port(0);
    let fd: OwnedFd = socket::socket(addr.family(), socket::STREAM).unwrap();
    socket::bind(&fd, &Addr::V4(any)).unwrap();
    socket::listen(&fd, 64).unwrap();
    let port = socket::getsockname(&fd).unwrap().port();
    reactor.add_listener(Rc::new(fd), 7, false, false);
    reactor.arm_listeners().unwrap();
    port
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

/// Turns until `done`, which must come within two seconds.
fn turn_until<M: Converse>(conversations: &Conversations<M>, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed().as_secs() < 2, "nothing happened");
        conversations.turn(Some(20));
    }
}

/// Echoes until the end or silence, and notes how it ended.
async fn echo(accepted: Accepted, notes: Notes, silence_ms: u64) {
    let mut buffer = [0; 64];
    loop {
        match accepted.io.try_read(&mut buffer) {
            Ok(0) => return note(&notes, "end"),
            Ok(count) => drop(accepted.io.try_send(&buffer[..count], 0).unwrap()),
            Err(Errno::EAGAIN) => match accepted.io.idle(after(silence_ms)).await {
                Dismissal::Readable => {}
                ended => return note(&notes, format!("{ended:?}")),
            },
            Err(errno) => return note(&notes, errno.to_string()),
        }
    }
}

#[test]
fn talks_to_many_and_sees_their_end() {
    let (reactor, notes) = (reactor_for(8), Notes::default());
    let port = listen(reactor);
    let to = notes.clone();
    let talk = move |accepted| echo(accepted, to.clone(), 5000);
    let conversations = Conversations::new(reactor, 8, false, talk).unwrap();
    let mut clients: Vec<TcpStream> = (0..4).map(|_| connect(port)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&[number as u8; 40]).unwrap();
    }
    turn_until(&conversations, || conversations.live() == 4 && reactor.idle_count() == 4);
    for (number, client) in clients.iter_mut().enumerate() {
        let mut answer = [0; 40];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [number as u8; 40]);
    }
    drop(clients);
    turn_until(&conversations, || conversations.live() == 0);
    assert_eq!(*notes.borrow(), ["end"; 4]);
    assert_eq!(reactor.idle_count(), 0);
}

#[test]
fn silence_ends_at_its_deadline_and_draining_ends_it_at_once() {
    let (reactor, notes) = (reactor_for(4), Notes::default());
    let port = listen(reactor);
    let to = notes.clone();
    let talk = move |accepted: Accepted| {
        let silence = if to.borrow().is_empty() { 100 } else { 60_000 };
        echo(accepted, to.clone(), silence)
    };
    let conversations = Conversations::new(reactor, 4, false, talk).unwrap();
    let first = connect(port);
    turn_until(&conversations, || notes.borrow().len() == 1);
    let second = connect(port);
    turn_until(&conversations, || conversations.live() == 1);
    conversations.drain();
    assert!(draining());
    turn_until(&conversations, || conversations.live() == 0);
    assert_eq!(*notes.borrow(), ["TimedOut", "Draining"]);
    drop((first, second));
}

#[test]
fn idle_ones_make_room_for_new_ones() {
    let (reactor, notes) = (reactor_for(4), Notes::default());
    let port = listen(reactor);
    let to = notes.clone();
    let talk = move |accepted| echo(accepted, to.clone(), 60_000);
    let conversations = Conversations::new(reactor, 4, true, talk).unwrap();
    let mut clients = Vec::new();
    for number in 0..12 {
        clients.push(connect(port));
        turn_until(&conversations, || super::counters().accepted.get() == number + 1);
        assert!(conversations.live() <= 4);
    }
    let newest = clients.last_mut().unwrap();
    newest.write_all(b"still served").unwrap();
    conversations.turn(Some(100));
    let mut answer = [0; 12];
    newest.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"still served");
    assert_eq!(clients[0].read(&mut answer).unwrap(), 0, "the oldest gave way");
}

#[test]
fn one_that_never_waits_lets_the_others_have_their_turn() {
    let (reactor, notes) = (reactor_for(4), Notes::default());
    let port = listen(reactor);
    let to = notes.clone();
    let talk = move |accepted| echo(accepted, to.clone(), 60_000);
    let conversations = Conversations::new(reactor, 4, false, talk).unwrap();
    let to = notes.clone();
    conversations.spawn(async move {
        loop {
            yield_now().await;
            if to.borrow().len() > 3 {
                return;
            }
        }
    });
    let mut client = connect(port);
    client.write_all(b"x").unwrap();
    turn_until(&conversations, || conversations.live() == 1);
    let mut answer = [0; 1];
    client.read_exact(&mut answer).unwrap();
}

#[test]
fn watches_come_back_to_the_caller() {
    let reactor = reactor_for(4);
    let talk = move |accepted| echo(accepted, Notes::default(), 60_000);
    let conversations = Conversations::new(reactor, 4, false, talk).unwrap();
    let (ours, theirs) = socket::socketpair(socket::STREAM).unwrap();
    reactor.watch(&ours, 3).unwrap();
    assert!(!conversations.turn(Some(0)).has(3));
    socket::send(&theirs, b"x", 0).unwrap();
    let fired = conversations.turn(Some(1000));
    assert!(fired.has(3) && !fired.has(2));
    assert!(conversations.turn(Some(0)).has(3), "level-triggered: told until it is read");
    reactor.unwatch(&ours).unwrap();
    assert!(!conversations.turn(Some(0)).has(3));
    assert_eq!(socket::recv(&ours, &mut [0; 4]), Ok(1));
    assert_eq!(socket::recv(&ours, &mut [0; 4]), Err(Errno::EAGAIN));
}
