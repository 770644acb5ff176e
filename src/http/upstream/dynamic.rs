//! Upstreams that a request names by itself: `proxy_pass http://$host`.
//!
//! Each has a group of its own in each worker, so that failures and kept connections are known
//! of it, too.

use crate::http::request::Request;
use crate::http::upstreams::Upstream;
use crate::log::Level;
use crate::net::resolver::{Failure, Found};
use crate::net::upstream::{Group, Memory, Parts, Place, Server, Target};
use crate::text::escape::Shown;
use crate::text::number;
use crate::vars::Subject;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The groups of hosts that requests have named.
#[derive(Default)]
pub struct Named {
    groups: RefCell<HashMap<Box<[u8]>, Host>>,
}

struct Host {
    upstream: Rc<Upstream>,
    /// What its addresses are from.
    found: Option<Rc<Found>>,
}

/// Hosts that are remembered; then all are forgotten.
const MOST: usize = 1024;

impl Named {
    /// The group of a host, whose addresses are `found` now, if they are not in its name.
    fn get(
        &self,
        key: &[u8],
        make: impl FnOnce() -> Group,
        found: Option<(Rc<Found>, u16)>,
    ) -> Rc<Upstream> {
        let mut groups = self.groups.borrow_mut();
        if groups.len() >= MOST && !groups.contains_key(key) {
            groups.clear();
        }
        if !groups.contains_key(key) {
            let made = Rc::new(Upstream {
                group: Rc::new(make()),
                key: None,
                sticky: None,
                is_block: false,
            });
            groups.insert(key.into(), Host { upstream: made, found: None });
        }
        let Some(host) = groups.get_mut(key) else { unreachable!("it has just been put there") };
        if let Some((found, port)) = found
            && !host.found.as_ref().is_some_and(|known| Rc::ptr_eq(known, &found))
        {
            let ips = found.addresses.iter();
            let addresses: Vec<_> = ips.filter_map(|ip| ip.at(port)).collect();
            host.upstream.group.set_addresses(0, &addresses);
            host.found = Some(found);
        }
        Rc::clone(&host.upstream)
    }
}

/// What `host` means; `place` is what it says. The error is a status.
///
/// Cancellation: nothing is lost.
pub async fn find<'r>(
    request: &Request<'r>,
    host: &'r [u8],
    place: Place<'r>,
    port: u16,
) -> Result<Rc<Upstream>, u16> {
    let key = request.made(place.host.len() + number::DECIMAL, |out| {
        out.put(place.host);
        out.put_u64(port.into());
    });
    let key = key.ok_or(500_u16)?;
    let named = &request.worker.named;
    if let Ok(addr) = place.address(port) {
        return Ok(named.get(key, || Group::of(host, Target::Address(addr), Memory::Hidden), None));
    }
    let conf = &request.location.conf.resolver;
    let found = match conf.resolver.look_up(place.host, conf.timeout).await {
        Ok(found) => found,
        Err(failure) => {
            let host = Shown(place.host);
            let text = format_args!("{host} could not be resolved ({failure})");
            request.log(Level::Error, None, text);
            // What it was is better than nothing, unless it is gone.
            let last = (failure != Failure::NotFound).then(|| conf.resolver.last_known(place.host));
            last.flatten().ok_or(502_u16)?
        }
    };
    let make = || {
        let host = place.host.into();
        let mut server = Server::new(place.host, Target::Name { host, port, service: None });
        // Who is asked now is asked again when nobody is there.
        server.resolve = true;
        let (name, resolver) = (place.host.into(), Some(conf.resolver.clone()));
        Group::new(Parts { name, servers: vec![server], resolver, ..Parts::default() })
    };
    Ok(named.get(key, make, Some((found, port))))
}
