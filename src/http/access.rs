//! `allow` and `deny`: who may, by address. The first rule that fits decides.

use super::core::Satisfy;
use super::permission::{self, Opinion};
use super::request::Request;
use crate::conf::{Args, Context, Cx, Directive, Error, Node, settings};
use crate::sys::addr::Ip;
use crate::text::network::Network;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        pub rules: Rc<Vec<Rule>> = Rc::default(),
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Rule {
    denies: bool,
    /// None: all.
    network: Option<Network>,
}

const CONTEXTS: Context = Context::ALL.or(Context::LMT);

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("allow", CONTEXTS, Args::ONE, |raw, cx, node| rule(raw, cx, node, false)),
    Directive::call("deny", CONTEXTS, Args::ONE, |raw, cx, node| rule(raw, cx, node, true)),
];

/// `allow all | unix: | ADDRESS | ADDRESS/BITS;`
fn rule(raw: &mut LocRaw, cx: &mut Cx, node: Node, denies: bool) -> Result<(), Error> {
    let word = node.arg(0);
    let network = match word.bytes() {
        b"all" => None,
        b"unix:" => Some(Network::Unix),
        _ => Some(cx.network(word).ok_or_else(|| Error::invalid_parameter(word))?),
    };
    Rc::make_mut(raw.rules.get_or_insert_default()).push(Rule { denies, network });
    Ok(())
}

/// What the rules say of the client.
pub fn check(request: &mut Request<'_>) -> Opinion {
    let rules = &request.location.conf.access.rules;
    if rules.is_empty() {
        return Opinion::None;
    }
    let client = request.client.ip;
    // A client of IPv4 at a socket of IPv6 is one of IPv4, if any rule is about those.
    let is_v4 = |rule: &Rule| match rule.network {
        Some(Network::Ip(ip, _)) => ip.is_ipv4(),
        Some(Network::Unix) => false,
        None => true,
    };
    let client = if rules.iter().any(is_v4) { client.canonical() } else { client };
    match rules.iter().find(|rule| rule.fits(client)) {
        None => Opinion::None,
        Some(Rule { denies: true, .. }) => {
            if request.location.conf.core.satisfy == Satisfy::All {
                permission::tell_forbidden(request);
            }
            Opinion::Refused(403)
        }
        Some(_) => Opinion::Granted,
    }
}

impl Rule {
    fn fits(&self, client: Ip) -> bool {
        self.network.is_none_or(|network| network.contains_as_is(client))
    }
}
