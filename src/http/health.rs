//! `health`: what a load balancer or an orchestrator asks for.
//!
//! *Live*: this process answers. *Ready*: and more may be sent here. A server that is going to
//! stop says that it is not, and goes on answering, until everybody has noticed
//! (`shutdown_delay`, `-s drain`).

use super::request::Request;
use super::step::{Answer, Step};
use crate::event;
use crate::proto::request::Method;
use crate::shm;
use crate::shm::scoreboard::State;
use crate::vars::Subject;

/// Whether connections live on behind their answer.
#[inline]
pub fn keeps_connections() -> bool {
    !event::draining() && !shm::board().master.state().is_leaving()
}

/// Workers of an older configuration are ready as long as the server is: others have taken over.
fn is_ready() -> bool {
    !shm::board().master.state().is_leaving() && shm::own().state() != State::Orphaned
}

pub fn live<'r>(request: &mut Request<'r>) -> Step<'r> {
    answer(request, 200, b"live\n")
}

pub fn ready<'r>(request: &mut Request<'r>) -> Step<'r> {
    if is_ready() { answer(request, 200, b"ready\n") } else { answer(request, 503, b"stopping\n") }
}

fn answer<'r>(request: &mut Request<'r>, status: u16, text: &'static [u8]) -> Step<'r> {
    if !matches!(request.method, Method::Get | Method::Head) {
        return Step::Status(405);
    }
    match request.response.early.add(request.scratch(), b"Cache-Control", b"no-store") {
        Some(()) => Step::Answer(Answer::Text { status, text }),
        None => Step::Status(500),
    }
}
