//! The access phase: whether the client may, as `satisfy` puts together what the modules
//! say of it.

use super::core::Satisfy;
use super::request::Request;
use super::step::{Step, Wait};
use super::{access, auth_basic, auth_request};
use crate::log::Level;
use crate::vars::Subject;

const CHALLENGE: &[u8] = b"WWW-Authenticate";

/// What a module says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It has not been asked.
    None,
    Granted,
    /// 401 or 403.
    Refused(u16),
    /// It has to ask somebody else first.
    Later,
    /// It cannot tell.
    Failed(u16),
}

/// In nginx's order.
const MODULES: [fn(&mut Request<'_>) -> Opinion; 3] =
    [access::check, auth_basic::check, auth_request::check];

/// How far the modules have been asked.
#[derive(Clone, Copy, Default)]
pub struct SoFar {
    next: u8,
    /// With `satisfy any`: 401, or else 403.
    refused: Option<u16>,
}

/// Asks the modules; who has been asked is not asked again after a wait.
pub fn check<'r>(request: &mut Request<'r>) -> Step<'r> {
    // Of an inner request it has been decided (nginx).
    if request.is_inner {
        return Step::Next;
    }
    if std::mem::take(&mut request.unauthorized) {
        return Step::Status(401);
    }
    let any = request.location.conf.core.satisfy == Satisfy::Any;
    let SoFar { next, mut refused } = std::mem::take(&mut request.permission);
    for (opinion, number) in MODULES.iter().zip(0..).skip(next.into()) {
        match opinion(request) {
            Opinion::None => {}
            Opinion::Granted if any => {
                withdraw_challenge(request);
                return Step::Next;
            }
            Opinion::Granted => {}
            Opinion::Refused(status) if any => {
                if refused != Some(401) {
                    refused = Some(status);
                }
            }
            Opinion::Refused(status) => return refuse(request, status),
            Opinion::Later => {
                request.permission = SoFar { next: number, refused };
                return Step::Wait(Wait::Permission);
            }
            Opinion::Failed(status) => return Step::Status(status),
        }
    }
    match refused {
        None => Step::Next,
        Some(status) => {
            if status == 403 {
                tell_forbidden(request);
            }
            refuse(request, status)
        }
    }
}

pub fn tell_forbidden(request: &Request<'_>) {
    request.log(Level::Error, None, format_args!("access forbidden by rule"));
}

/// Tells how to do better than 401. False: there is no room for it.
pub fn challenge<'r>(request: &mut Request<'r>, how: &'r [u8]) -> bool {
    let scratch = request.scratch();
    request.response.early.add(scratch, CHALLENGE, how).is_some()
}

fn withdraw_challenge(request: &Request<'_>) {
    request.response.early.remove(CHALLENGE);
}

fn refuse<'r>(request: &mut Request<'r>, status: u16) -> Step<'r> {
    match (status, request.location.conf.core.auth_delay) {
        (401, 1..) => {
            request.log_info(None, format_args!("delaying unauthorized request"));
            request.unauthorized = true;
            Step::Wait(Wait::For(request.location.conf.core.auth_delay))
        }
        _ => Step::Status(status),
    }
}
