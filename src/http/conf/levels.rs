//! The levels of an http block: http, server, location.
//!
//! Each is read in two passes: its plain directives, in order, then, with these
//! resolved against the level above, the levels inside it.

use super::identity::{IDENTITY, Identity};
use super::listens::Listens;
use super::locations::{self, Locations, Sorter};
use super::modules::{LocConf, LocRaws, MainConf, MainRaws, Place, SrvConf, SrvRaws};
use super::{Http, Kind, Location, Server};
use crate::conf::{Args, Context, Cx, DEFAULTS, Directive, Index, Node, Nodes, Shape, Word};
use std::rc::Rc;

/// The blocks that are levels.
static LEVELS: [Directive<()>; 3] = [
    // Of the embedded main config: settings that a fragment's own may replace.
    Directive::level(DEFAULTS, Context::HTTP, Args::NONE),
    Directive::level("server", Context::HTTP, Args::NONE),
    Directive::level("location", Context::SERVER.or(Context::LOCATION), Args::ONE_TWO),
];

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
    let mut all: Vec<(&'static Shape, Tag)> = Vec::new();
    all.extend(LEVELS.iter().map(|level| (&level.shape, Tag::Level)));
    all.extend(IDENTITY.iter().map(|directive| (&directive.shape, Tag::Identity(directive))));
    all.extend(MainRaws::directives().into_iter().map(|(shape, place)| (shape, Tag::Main(place))));
    all.extend(SrvRaws::directives().into_iter().map(|(shape, place)| (shape, Tag::Srv(place))));
    all.extend(LocRaws::directives().into_iter().map(|(shape, place)| (shape, Tag::Loc(place))));
    all
}

pub fn directives() -> impl Iterator<Item = &'static Shape> {
    tags().into_iter().map(|(shape, _)| shape)
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
    };
    let servers = reader.http(cx, http);
    let conf = reader.main.resolve(&MainConf::defaults(cx));
    Http { conf, listening: reader.listens.finish(cx), servers }
}

struct Reader {
    index: Index<Tag>,
    /// What the plain directives of the block at hand said.
    main: MainRaws,
    srv: SrvRaws,
    loc: LocRaws,
    listens: Listens,
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
            let done = self.index.find(cx, context, node).and_then(|tag| match tag {
                Tag::Level => {
                    levels.push(node);
                    Ok(())
                }
                Tag::Identity(directive) => directive.set(identity, cx, node),
                Tag::Main(place) => place.set(&mut self.main, cx, node),
                Tag::Srv(place) => place.set(&mut self.srv, cx, node),
                Tag::Loc(place) => place.set(&mut self.loc, cx, node),
            });
            cx.report(node, done);
        }
        levels
    }

    fn http(&mut self, cx: &mut Cx, nodes: Nodes) -> Vec<Rc<Server>> {
        let (mut srv, mut loc) = (SrvConf::defaults(cx), LocConf::defaults(cx));
        let is_defaults = |node: &Node| node.name().bytes() == DEFAULTS.as_bytes();
        let own = nodes.filter(|node| !is_defaults(node));
        for nodes in nodes.filter(is_defaults).map(inside) {
            self.plain(cx, Context::HTTP, nodes, &mut Identity::default());
            (srv, loc) = (self.srv.resolve(&srv), self.loc.resolve(&loc));
        }
        let servers = self.plain(cx, Context::HTTP, own, &mut Identity::default());
        (srv, loc) = (self.srv.resolve(&srv), self.loc.resolve(&loc));
        servers.into_iter().map(|node| self.server(cx, node, &srv, &loc)).collect()
    }

    fn server(&mut self, cx: &mut Cx, node: Node, srv: &SrvConf, loc: &LocConf) -> Rc<Server> {
        let mut identity = Identity::default();
        let levels = self.plain(cx, Context::SERVER, inside(node), &mut identity);
        let (conf, outer) = (self.srv.resolve(srv), self.loc.resolve(loc));
        let (locations, named) = self.locations(cx, &outer, levels, None);
        let (name, kind) = (Box::default(), Kind::Server);
        let location = Rc::new(Location { name, kind, conf: outer, locations });
        let server = Rc::new(Server { name: identity.name(), conf, location, named });
        self.listens.add(cx, node, &server, identity);
        server
    }

    /// The locations of one level, and the named ones.
    fn locations(
        &mut self,
        cx: &mut Cx,
        outer: &LocConf,
        levels: Vec<Node>,
        parent: Option<(Kind, Word)>,
    ) -> (Locations, Box<[Rc<Location>]>) {
        let mut sorter = Sorter::of(levels.len());
        for node in levels {
            let head =
                locations::head(node).and_then(|head| locations::fits(head, parent).map(|()| head));
            match head {
                Ok(head) => sorter.add(head.1, self.location(cx, outer, node, head)),
                Err(error) => cx.errors.push(error),
            }
        }
        sorter.finish(cx)
    }

    fn location(
        &mut self,
        cx: &mut Cx,
        outer: &LocConf,
        node: Node,
        head: (Kind, Word),
    ) -> Location {
        let levels = self.plain(cx, Context::LOCATION, inside(node), &mut Identity::default());
        let conf = self.loc.resolve(outer);
        let (locations, _) = self.locations(cx, &conf, levels, Some(head));
        let (kind, name) = head;
        Location { name: name.bytes().into(), kind, conf, locations }
    }
}

/// The block of a level; the table has made sure that there is one.
fn inside(node: Node) -> Nodes {
    node.block().unwrap_or(node.nothing())
}
