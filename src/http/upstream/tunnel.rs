//! After `101 Switching Protocols`: bytes both ways, whatever they mean.

use super::Upstream;
use crate::http::output::Output;
use crate::http::request::Request;
use crate::log::Level;
use crate::net::tunnel::{Ended, Tunnel, Way};
use crate::sys::errno::{Errno, Result};

/// Lets bytes pass until one side has ended; the connection is closed after it.
///
/// Cancellation: both connections are closed.
pub async fn run<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
    output: &mut Output,
) -> Result<()> {
    request.keep_alive = false;
    let io = &request.conn.io;
    output.flush(io, request.location.conf.core.send_timeout, false).await?;
    let Some(link) = &upstream.link else { return Err(Errno::ECANCELED) };
    let (worker, bytes) = (request.worker, request.bytes);
    let ahead = bytes.get(request.head.len as usize..).unwrap_or_default();
    let way = |already| Way::new(worker.relay_buffer()?, already);
    let (Some(up), Some(down)) = (way(ahead), way(upstream.early)) else {
        request.log(Level::Alert, None, format_args!("no room for a tunnel"));
        return Err(Errno::ECANCELED);
    };
    let mut tunnel = Tunnel { up, down };
    request.action = " while proxying upgraded connection";
    let ended = tunnel.run(io, &link.io, upstream.conf.read_timeout).await;
    match ended {
        Ended::Closed => {}
        Ended::TimedOut => {
            let errno = Some(Errno::ETIMEDOUT);
            request.log(Level::Error, errno, format_args!("upstream timed out"));
        }
        Ended::ClientFailed(errno) => {
            request.log(Level::Info, Some(errno), format_args!("recv() failed"));
        }
        Ended::UpstreamFailed(errno) => {
            request.log(Level::Error, Some(errno), format_args!("recv() failed"));
        }
    }
    request.action = "";
    request.body_sent += tunnel.down.passed;
    if let Some(attempt) = upstream.attempt {
        let early = upstream.early.len() as u64;
        attempt.received.set(attempt.received.get() + tunnel.down.came - early);
        attempt.length.set(tunnel.down.came);
        attempt.sent.set(attempt.sent.get() + tunnel.up.passed);
    }
    Ok(())
}
