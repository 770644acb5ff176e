//! `realip`: who a trusted proxy in front speaks for. From then on that is the client, for
//! limits, access, variables and logs, and until the end of the request only.

use super::{forwarded, proxied};
use crate::conf::{Args, Context, Cx, Directive, Error, Node, put, settings};
use crate::http::request::Request;
use crate::text::network::Network;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// Proxies that are trusted; none: nobody is asked.
        pub from: Rc<Vec<Network>> = Rc::default(),
        pub header: Header = Header::Field(b"x-real-ip".as_slice().into()),
        pub recursive: bool = false,
    }
}

/// Where the proxy says it.
#[derive(Clone)]
pub enum Header {
    /// The first line of this name, which is in lower case.
    Field(Rc<[u8]>),
    /// All lines `X-Forwarded-For`, as one list.
    ForwardedFor,
    /// The PROXY protocol.
    ProxyProtocol,
}

const ALL: Context = Context::ALL;

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("set_real_ip_from", ALL, Args::ONE, |raw, cx, node| {
        let networks = cx.networks(node)?;
        Rc::make_mut(raw.from.get_or_insert_default()).extend(networks);
        Ok(())
    }),
    Directive::call("real_ip_header", ALL, Args::ONE, real_ip_header),
    Directive::flag("real_ip_recursive", ALL, |raw| &mut raw.recursive),
];

fn real_ip_header(raw: &mut LocRaw, _: &mut Cx, node: Node) -> Result<(), Error> {
    let header = match node.arg(0).bytes() {
        b"X-Forwarded-For" => Header::ForwardedFor,
        b"proxy_protocol" => Header::ProxyProtocol,
        name => Header::Field(name.to_ascii_lowercase().into()),
    };
    put(&mut raw.header, node, Ok(header))
}

/// Finds out who the client is. Once that is known no other location changes it.
#[inline]
pub fn settle(request: &mut Request<'_>) {
    let conf = &request.location.conf.realip;
    if conf.from.is_empty() || request.client != request.conn.peer {
        return;
    }
    let behind = |lines: &mut dyn Iterator<Item = &'_ [u8]>| {
        forwarded::behind(request.client, lines, &conf.from, conf.recursive)
    };
    let found = match &conf.header {
        Header::Field(name) => behind(&mut forwarded::lines(request, name).take(1)),
        Header::ForwardedFor => behind(&mut forwarded::lines(request, b"x-forwarded-for")),
        Header::ProxyProtocol => {
            let is_trusted = conf.from.iter().any(|network| network.contains(request.client.ip));
            proxied::client(request).filter(|_| is_trusted)
        }
    };
    request.client = found.unwrap_or(request.client);
}
