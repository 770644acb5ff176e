//! The access phase: whether the client may, as `satisfy` puts together what the modules
//! say of it.

use super::core::Satisfy;
use super::request::Request;
use super::step::{Step, Wait};
use super::{access, auth_basic, auth_request};
use crate::log::Level;
use crate::vars::Subject;

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

/// Asks the modules, in nginx's order.
pub fn check<'r>(request: &mut Request<'r>) -> Step<'r> {
    // Of an inner request it has been decided (nginx).
    if request.is_inner {
        return Step::Next;
    }
    if std::mem::take(&mut request.unauthorized) {
        return Step::Status(401);
    }
    let any = request.location.conf.core.satisfy == Satisfy::Any;
    let mut refused = None;
    for opinion in [access::check, auth_basic::check, auth_request::check] {
        match opinion(request) {
            Opinion::None => {}
            Opinion::Granted if any => {
                request.challenge = None;
                return Step::Next;
            }
            Opinion::Granted => {}
            Opinion::Refused(status) if any => {
                if refused != Some(401) {
                    refused = Some(status);
                }
            }
            Opinion::Refused(status) => return refuse(request, status),
            Opinion::Later => return Step::Wait(Wait::Permission),
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

fn refuse<'r>(request: &mut Request<'r>, status: u16) -> Step<'r> {
    if let Some(challenge) = request.challenge.take() {
        let scratch = request.scratch();
        // Without room for it the answer fails as a whole.
        let _ = request.response.early.add(scratch, b"WWW-Authenticate", challenge);
    }
    match (status, request.location.conf.core.auth_delay) {
        (401, 1..) => {
            request.log_info(None, format_args!("delaying unauthorized request"));
            request.unauthorized = true;
            Step::Wait(Wait::For(request.location.conf.core.auth_delay))
        }
        _ => Step::Status(status),
    }
}
