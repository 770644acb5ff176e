//! What a supervisor wants to know: that we serve, that we reload, that we are about to end.
//!
//! systemd and its like take lines of `NAME=value` in a datagram to the socket that NOTIFY_SOCKET
//! names (sd_notify(3)); s6 takes a newline on a descriptor (`notify_fd`). Nobody waits for either.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use crate::log::{Level, log};
use crate::sys::addr::{Addr, UnixName};
use crate::sys::{Errno, clock, env, fd, io, process, socket};

const VARIABLE: &str = "NOTIFY_SOCKET";

#[derive(Default)]
pub struct Notifier {
    /// As the environment had it.
    name: Option<OsString>,
    to: Option<(OwnedFd, Addr)>,
    /// Until the first *ready*.
    ready_fd: Option<OwnedFd>,
    stopping: bool,
}

impl Notifier {
    /// Takes the variable out of the environment: children have nothing to tell.
    pub fn from_environment() -> Self {
        let Some(name) = env::get(VARIABLE) else { return Self::default() };
        env::remove(VARIABLE);
        let to = UnixName::parse(name.as_bytes()).map(Addr::Unix).ok().and_then(|addr| {
            let socket = socket::socket(addr.family(), socket::DGRAM).ok()?;
            Some((socket, addr))
        });
        if to.is_none() {
            log!(Level::Warn, "{VARIABLE} \"{}\" is no socket of ours to write to", name.display());
        }
        Self { name: Some(name), to, ..Self::default() }
    }

    /// For the next binary.
    pub fn export(&self) {
        if let Some(name) = &self.name {
            env::set(VARIABLE, name);
        }
    }

    /// The exec has failed.
    pub fn withdraw(&self) {
        env::remove(VARIABLE);
    }

    /// `notify_fd`: the descriptor that was opened for us.
    pub fn take_fd(&mut self, number: i32) {
        match fd::inherit(number) {
            Ok(fd) => self.ready_fd = Some(fd),
            Err(e) => log!(Level::Warn, errno e, "notify_fd {number} was not opened for us"),
        }
    }

    /// We serve.
    pub fn ready(&mut self, status: &str) {
        self.send(&format!("READY=1\nMAINPID={}\nSTATUS={status}", process::getpid()));
        if let Some(fd) = self.ready_fd.take()
            && let Err(e) = io::write(&fd, b"\n")
        {
            log!(Level::Warn, errno e, "write() to notify_fd failed");
        }
    }

    /// Another configuration comes; *ready* tells that this is over, however it came out.
    pub fn reloading(&self) {
        let usec = clock::monotonic_ms() * 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\nSTATUS=reloading"));
    }

    /// Once.
    pub fn stopping(&mut self, status: &str) {
        if !std::mem::replace(&mut self.stopping, true) {
            self.send(&format!("STOPPING=1\nSTATUS={status}"));
        }
    }

    fn send(&self, text: &str) {
        let Some((socket, addr)) = &self.to else { return };
        match socket::send_to(socket, text.as_bytes(), addr) {
            // Full: a supervisor that does not read does not want to know.
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(e) => log!(Level::Warn, errno e, "sendto() {VARIABLE} failed"),
        }
    }
}
