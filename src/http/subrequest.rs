//! Requests inside a request: they go through the phases by themselves, their answers are
//! looked at and not sent.

use super::answer::{self, Progress};
use super::log;
use super::request::Request;
use super::{exchange, respond};
use crate::mem::arena::Room;

/// What is asked.
pub struct Ask<'r> {
    pub uri: &'r [u8],
    pub args: &'r [u8],
    /// As the request itself; else GET.
    pub same_method: bool,
}

/// Goes through the phases in a room of its own. `then` sees the request with its answer;
/// `None`: there is no room.
///
/// Cancellation: the request is given up, and nothing of it is logged.
pub fn run<'r, T>(
    parent: &Request<'r>,
    ask: Ask<'r>,
    then: impl FnOnce(&Request<'r>) -> T + 'r,
) -> Option<Room<'r, T>> {
    let mut request = parent.inner(ask)?;
    let rooms = parent.worker.rooms;
    rooms.place(async move {
        let mut progress = answer::resume(&mut request);
        let answer = loop {
            match progress {
                Progress::Answer(answer) => break answer,
                Progress::Wait(wait) => progress = exchange::wait_for(wait, &mut request).await,
            }
        };
        respond::describe_answer(&mut request, &answer);
        if request.location.conf.core.log_subrequest {
            log::record(&request);
        }
        then(&request)
    })
}
