//! The settings of the exchange with HTTP servers: see `http::upstream::settings`.

use super::upstream::next::Next;
pub use super::upstream::settings::LocRaw;
use super::upstream::settings::upstream_settings;
use crate::conf::Directive;

pub static LOC: &[Directive<LocRaw>] = upstream_settings!("proxy_", Next::OF_STATUS);
