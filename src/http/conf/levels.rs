//! The levels of an http block: http, server, location.
//!
//! Each is read in two passes: its plain directives, in order, then, with these
//! resolved against the level above, the levels inside it.

use super::identity::{IDENTITY, Identity, names_or_empty};
use super::listens::Listens;
use super::locations::{self, Sorter};
use super::modules::{LocConf, LocRaws, MainConf, MainRaws, Place, SrvConf, SrvRaws};
use super::{Except, Http, Kind, Location, Server};
use crate::conf::{Args, Context, Cx, DEFAULTS, Directive, Error, Index, Node, Nodes, Shape, Word};
use crate::http::health_check;
use crate::http::upstreams::{self, Upstreams};
use crate::http::variables::Variables;
use crate::net::resolver::Resolver;
use std::rc::Rc;

/// The blocks that are levels.
static LEVELS: [Directive<()>; 4] = [
    // Of the embedded main config: settings that a fragment's own may replace.
    Directive::level(DEFAULTS, Context::HTTP, Args::NONE),
    Directive::level("server", Context::HTTP, Args::NONE),
    Directive::level("location", Context::SERVER.or(Context::LOCATION), Args::ONE_TWO),
    Directive::level("limit_except", Context::LOCATION, Args::ONE_MORE),
];

/// Directives of a location whose blocks are levels, too.
const INNER: [&[u8]; 1] = [b"if"];

/// What a name of a level leads to.
#[derive(Clone, Copy)]
enum Tag {
    Level,
    Identity(&'static Directive<Identity>),
    Main(Place<MainRaws>),
    Srv(Place<SrvRaws>),
    Loc(Place<LocRaws>),
}

/// Every directive of the http block.
fn tags() -> Vec<(&'static Shape, Tag)> {
    let mut all = Vec::with_capacity(COUNT);
    all.extend(LEVELS.iter().map(|level| (&level.shape, Tag::Level)));
    all.extend(IDENTITY.iter().map(|directive| (&directive.shape, Tag::Identity(directive))));
    MainRaws::directives(&mut all, Tag::Main);
    SrvRaws::directives(&mut all, Tag::Srv);
    LocRaws::directives(&mut all, Tag::Loc);
    all
}

/// More than there are: the list is not moved while it is made.
const COUNT: usize = 400;

pub fn directives() -> impl Iterator<Item = &'static Shape> {
    tags().into_iter().map(|(shape, _)| shape).chain(upstreams::shapes())
}

/// Reads the block of `http { }`; what is wrong with it is in `cx.errors`.
pub fn read(cx: &mut Cx, http: Nodes) -> Http {
    let index = Index::new(tags().into_iter());
    let mut reader = Reader {
        index,
        main: MainRaws::default(),
        srv: SrvRaws::default(),
        loc: LocRaws::default(),
        listens: Listens::default(),
        resolver: None,
        checks: Vec::new(),
    };
    let servers = reader.http(cx, http);
    let conf = reader.main.resolve(&MainConf::defaults(cx));
    let resolver = reader.resolver.unwrap_or_else(Resolver::of_machine);
    let upstreams = Upstreams::new(cx, &conf.upstreams.blocks, &resolver);
    let checks = health_check::made(cx, &reader.checks, &conf.health_check.matches, &upstreams);
    let variables = Variables::new(cx, conf.computed());
    let regex_room = std::mem::take(&mut cx.regex_room).into();
    let largest_body = cx.largest_body;
    let upstream_room = cx.upstream_room;
    let listening = reader.listens.finish(cx);
    Http {
        conf,
        variables,
        upstreams,
        checks,
        upstream_room,
        regex_room,
        largest_body,
        listening,
        servers,
    }
}

struct Reader {
    index: Index<Tag>,
    /// What the plain directives of the block at hand said.
    main: MainRaws,
    srv: SrvRaws,
    loc: LocRaws,
    listens: Listens,
    /// That of the `http` block.
    resolver: Option<Resolver>,
    checks: Vec<health_check::Found>,
}

impl Reader {
    /// Stores the plain directives of a block; gives back the levels in it.
    fn plain<'t>(
        &mut self,
        cx: &mut Cx,
        context: Context,
        nodes: impl Iterator<Item = Node<'t>>,
        identity: &mut Identity,
    ) -> Vec<Node<'t>> {
        let mut levels = Vec::new();
        for node in nodes {
            let is_server = context.meets(Context::HTTP.or(Context::SERVER));
            if is_server && cx.is_of_terminator(node) {
                continue;
            }
            let done = self.index.find(cx, context, node).and_then(|tag| match tag {
                Tag::Level => {
                    levels.push(node);
                    Ok(())
                }
                Tag::Identity(directive) => directive.set(identity, cx, node),
                Tag::Main(place) => place.set(&mut self.main, cx, node),
                Tag::Srv(place) => place.set(&mut self.srv, cx, node),
                Tag::Loc(place) => {
                    let done = place.set(&mut self.loc, cx, node);
                    if INNER.contains(&node.name().bytes()) {
                        levels.push(node);
                    }
                    done
                }
            });
            cx.report(node, done);
        }
        levels
    }

    fn http(&mut self, cx: &mut Cx, nodes: Nodes) -> Vec<Rc<Server>> {
        cx.tls.enter(nodes);
        let (mut srv, mut loc) = (SrvConf::defaults(cx), LocConf::defaults(cx));
        let is_defaults = |node: &Node| node.name().bytes() == DEFAULTS.as_bytes();
        let own = nodes.filter(|node| !is_defaults(node));
        for nodes in nodes.filter(is_defaults).map(inside) {
            self.plain(cx, Context::HTTP, nodes, &mut Identity::default());
            (srv, loc) = (self.srv.resolve(&srv), self.loc.resolve(&loc));
        }
        let servers = self.plain(cx, Context::HTTP, own, &mut Identity::default());
        (srv, loc) = (self.srv.resolve(&srv), self.loc.resolve(&loc));
        self.resolver = Some(loc.resolver.resolver.clone());
        servers.into_iter().map(|node| self.server(cx, node, &srv, &loc)).collect()
    }

    fn server(&mut self, cx: &mut Cx, node: Node, srv: &SrvConf, loc: &LocConf) -> Rc<Server> {
        let mut identity = Identity::default();
        let outer_tls = cx.tls.enter(inside(node));
        let levels = self.plain(cx, Context::SERVER, inside(node), &mut identity);
        cx.tls.offloaded = outer_tls;
        let (conf, outer) = (self.srv.resolve(srv), self.loc.resolve(loc));
        let level = Level { conf: outer, kind: Kind::Server, word: node.name().until(0) };
        let checks = self.checks.len();
        let (location, named) = self.level(cx, level, levels);
        let location = Rc::new(location);
        let name = identity.name();
        self.checks.iter_mut().skip(checks).for_each(|found| found.server = name.clone());
        let names = names_or_empty(std::mem::take(&mut identity.names));
        let server = Rc::new(Server { name, names, conf, location, named });
        self.listens.add(cx, node, &server, identity);
        server
    }

    /// The levels inside one, and so all of it; the named locations beside it.
    fn level(
        &mut self,
        cx: &mut Cx,
        level: Level,
        levels: Vec<Node>,
    ) -> (Location, Box<[Rc<Location>]>) {
        let Level { conf, kind, word } = level;
        let mut sorter = Sorter::of(levels.len());
        let (mut inner, mut except) = (Vec::new(), None);
        for node in levels {
            if INNER.contains(&node.name().bytes()) {
                let context = if kind == Kind::Server { Context::SIF } else { Context::LIF };
                inner.push(self.inner(cx, (&conf, word), node, context));
                continue;
            }
            if node.name().bytes() == b"limit_except" {
                let location = self.inner(cx, (&conf, word), node, Context::LMT);
                match Except::new(node, location) {
                    Ok(_) if except.is_some() => {
                        cx.errors.push(Error::directive(node, "is duplicate"));
                    }
                    Ok(new) => except = Some(new),
                    Err(error) => cx.errors.push(error),
                }
                continue;
            }
            let parent = (kind != Kind::Server).then_some((kind, word));
            let head =
                locations::head(node).and_then(|head| locations::fits(head, parent).map(|()| head));
            match head {
                Ok(head) => sorter.add(head.1, self.location(cx, &conf, node, head)),
                Err(error) => cx.errors.push(error),
            }
        }
        sorter.add_slashes(&conf);
        let (locations, named) = sorter.finish(cx);
        let (name, inner) = (word.bytes().into(), inner.into());
        (Location { name, kind, conf, pattern: None, locations, except, inner }, named)
    }

    fn location(
        &mut self,
        cx: &mut Cx,
        outer: &LocConf,
        node: Node,
        (kind, word): (Kind, Word),
    ) -> Location {
        let levels = self.plain(cx, Context::LOCATION, inside(node), &mut Identity::default());
        let conf = self.loc.resolve(outer);
        if let Some(wanted) = &conf.health_check.wanted {
            let (wanted, conf) = (Rc::clone(wanted), conf.clone());
            self.checks.push(health_check::Found { wanted, conf, server: Box::default() });
        }
        match kind {
            Kind::Regex => cx.note(conf.content.check("a location given by regular expression")),
            Kind::Named => cx.note(conf.content.check("a named location")),
            _ => {}
        }
        let (mut location, _) = self.level(cx, Level { conf, kind, word }, levels);
        if kind == Kind::Regex {
            match cx.pattern(word, locations::is_caseless(node)) {
                Ok(pattern) => location.pattern = Some(pattern),
                Err(error) => cx.errors.push(error),
            }
        }
        location
    }

    /// A block that is no location of its own: `if`, `limit_except`. For the log it goes by
    /// the name of its location.
    fn inner(
        &mut self,
        cx: &mut Cx,
        (outer, word): (&LocConf, Word),
        node: Node,
        context: Context,
    ) -> Rc<Location> {
        self.plain(cx, context, inside(node), &mut Identity::default());
        let mut conf = self.loc.resolve(outer);
        match conf.content.handler {
            None => conf.content = Rc::clone(&outer.content),
            Some(_) => {
                let place =
                    if context == Context::LMT { "a \"limit_except\"" } else { "an \"if\"" };
                cx.note(conf.content.check(place));
            }
        }
        let level = Level { conf, kind: Kind::Inner, word };
        Rc::new(self.level(cx, level, Vec::new()).0)
    }
}

/// A level whose plain directives have been read.
struct Level<'t> {
    conf: LocConf,
    kind: Kind,
    /// The name of a location; else empty.
    word: Word<'t>,
}

/// The block of a level; the table has made sure that there is one.
fn inside(node: Node) -> Nodes {
    node.block().unwrap_or(node.nothing())
}
