//! `auth_basic`: a name and a password, as a file of users has them.
//!
//! The file is kept like any other one (`file_cache`): one `stat` a loop turn tells of
//! changes. A large one is read again for each request, piece by piece.

mod users;

use super::file_cache::{Contents, File, Found, Trust};
use super::permission::{self, Opinion};
use super::request::Request;
use crate::conf::{Args, Context, Cx, Directive, Error, Node, Template, put, settings};
use crate::log::Level;
use crate::proto::password;
use crate::proto::request::Known;
use crate::sys::errno::Errno;
use crate::text::escape::Shown;
use crate::text::{ascii, base64};
use crate::vars::Subject;
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// "off" is none, too, if only a variable may turn out to be that.
        pub realm: Option<Rc<Template>> = None,
        pub user_file: Option<Rc<UserFile>> = None,
    }
}

/// `auth_basic_user_file`
#[derive(Debug)]
pub struct UserFile {
    path: Template,
    /// Where it is looked for if its path is relative: the folder of the configuration.
    folder: Box<[u8]>,
}

const CONTEXTS: Context = Context::ALL.or(Context::LMT);

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("auth_basic", CONTEXTS, Args::ONE, |raw, cx, node| {
        let realm = cx.template(node.arg(0)).map(|realm| Some(Rc::new(realm)));
        put(&mut raw.realm, node, realm)
    }),
    Directive::call("auth_basic_user_file", CONTEXTS, Args::ONE, |raw, cx, node| {
        let file = user_file(cx, node);
        put(&mut raw.user_file, node, file)
    }),
];

fn user_file(cx: &mut Cx, node: Node) -> Result<Option<Rc<UserFile>>, Error> {
    let path = cx.template(node.arg(0))?;
    // With a slash at its end.
    let folder = cx.conf_prefix.join("").into_os_string().into_vec().into();
    Ok(Some(Rc::new(UserFile { path, folder })))
}

/// Whether the client has shown that it is a user.
pub fn check(request: &mut Request<'_>) -> Opinion {
    let conf = &request.location.conf.auth_basic;
    let (Some(realm), Some(file)) = (&conf.realm, &conf.user_file) else { return Opinion::None };
    let Some(realm) = request.render(realm) else { return Opinion::Failed(500) };
    if realm == b"off" {
        return Opinion::None;
    }
    let Some((user, password)) = credentials(request) else {
        let text = "no user/password was provided for basic authentication";
        request.log_info(None, format_args!("{text}"));
        return challenge(request, realm);
    };
    let path = match path_of(request, file) {
        Some(path) => path,
        None => return Opinion::Failed(500),
    };
    match is_user(request, path, user, password) {
        Ok(true) => Opinion::Granted,
        Ok(false) => challenge(request, realm),
        Err(403) => Opinion::Refused(403),
        Err(status) => Opinion::Failed(status),
    }
}

/// The name and the password of `Authorization: Basic`.
pub fn credentials<'r>(request: &Request<'r>) -> Option<(&'r [u8], &'r [u8])> {
    let (scheme, text) = request.header(Known::Authorization)?.split_at_checked(6)?;
    if !ascii::eq_ignore_case(scheme, b"basic ") {
        return None;
    }
    let text = text.trim_ascii_start();
    let pair = request.scratch().take(text.len())?;
    let pair: &[u8] = base64::decode(text, pair)?;
    let (user, password) = pair.split_at(pair.iter().position(|byte| *byte == b':')?);
    (!user.is_empty()).then_some((user, password.get(1..)?))
}

/// The path, with a NUL behind it.
fn path_of<'r>(request: &Request<'r>, file: &'r UserFile) -> Option<&'r [u8]> {
    let path = request.render(&file.path)?;
    let folder: &[u8] = if path.starts_with(b"/") { b"" } else { &file.folder };
    request.scratch().concat(&[folder, path, b"\0"])
}

/// Asks the file; the error is the status to answer with.
fn is_user(request: &Request<'_>, path: &[u8], user: &[u8], password: &[u8]) -> Result<bool, u16> {
    let shown = Shown(path.strip_suffix(b"\0").unwrap_or(path));
    let failed = |call: &str, errno| {
        let (level, status) = match errno {
            Errno::ENOENT => (Level::Error, 403),
            _ => (Level::Crit, 500),
        };
        request.log(level, Some(errno), format_args!("{call}() \"{shown}\" failed"));
        status
    };
    let file = match request.worker.files.look_up(path, Trust::default()) {
        Found::File(file) => file,
        Found::Directory { closed: None } => return Err(failed("pread", Errno::EISDIR)),
        Found::Special => return Err(failed("pread", Errno::EINVAL)),
        Found::Directory { closed: Some(errno) }
        | Found::Unreadable(errno)
        | Found::Failed(errno) => {
            return Err(failed("open", errno));
        }
    };
    let name = Shown(user);
    match is_right(request, &file, user, password).map_err(|errno| failed("pread", errno))? {
        Some(true) => return Ok(true),
        Some(false) => {
            let text = format_args!("user \"{name}\": password mismatch");
            request.log(Level::Error, None, text);
        }
        None => {
            let text = format_args!("user \"{name}\" was not found in \"{shown}\"");
            request.log(Level::Error, None, text);
        }
    }
    Ok(false)
}

/// Whether the password is the user's; `None`: there is no such user.
fn is_right(
    request: &Request<'_>,
    file: &File,
    user: &[u8],
    password: &[u8],
) -> Result<Option<bool>, Errno> {
    let is_right = |field: &[u8]| password::is_right(field, password);
    match &file.contents {
        Contents::Bytes(bytes) => Ok(users::field(bytes, user).map(is_right)),
        Contents::Descriptor(fd) => {
            let room = request.scratch().take(users::PIECE).ok_or(Errno::ENOMEM)?;
            Ok(users::read_field(fd, room, user)?.map(is_right))
        }
    }
}

/// Asks for a name and a password.
fn challenge(request: &mut Request<'_>, realm: &[u8]) -> Opinion {
    match request.scratch().concat(&[b"Basic realm=\"", realm, b"\""]) {
        Some(how) if permission::challenge(request, how) => Opinion::Refused(401),
        _ => Opinion::Failed(500),
    }
}
