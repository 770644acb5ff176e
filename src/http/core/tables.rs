//! The tables of the http core module.

use super::{LocRaw, SrvRaw};
use crate::conf::{Context, Directive};

pub static SRV: [Directive<SrvRaw>; 1] =
    [Directive::msec("client_header_timeout", Context::HTTP.or(Context::SERVER), |raw| {
        &mut raw.client_header_timeout
    })];

pub static LOC: [Directive<LocRaw>; 1] =
    [Directive::flag("sendfile", Context::ALL, |raw| &mut raw.sendfile)];
