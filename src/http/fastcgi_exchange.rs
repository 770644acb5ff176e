//! The settings of the exchange with FastCGI responders: see `http::upstream::settings`.

use super::upstream::next::Next;
pub use super::upstream::settings::LocRaw;
use super::upstream::settings::upstream_settings;
use crate::conf::Directive;

pub static LOC: &[Directive<LocRaw>] = upstream_settings!("fastcgi_", STATUSES);

/// The statuses of answers after which another responder may be asked.
const STATUSES: Next =
    Next::HTTP_500.or(Next::HTTP_503).or(Next::HTTP_403).or(Next::HTTP_404).or(Next::HTTP_429);
