//! The levels of an http block: http, server, location.
//!
//! Each is read in two passes: its plain directives, in order, then, with these
//! resolved against the level above, the levels inside it.

use super::identity::{IDENTITY, Identity};
use super::listens::Listens;
use super::locations::{self, Locations, Sorter};
use super::modules::{LocConf, LocRaws, Place, SrvConf, SrvRaws};
use super::{Http, Kind, Location, Server};
use crate::conf::{Args, Context, Cx, Directive, Index, Node, Nodes, Shape, Word};
use std::rc::Rc;

/// The blocks that are levels.
static LEVELS: [Directive<()>; 2] = [
    Directive::level("server", Context::HTTP, Args::NONE),
    Directive::level("location", Context::SERVER.or(Context::LOCATION), Args::ONE_TWO),
];

/// What a name of a level leads to.
#[derive(Clone, Copy)]
enum Tag {
    Level,
    Identity(&'static Directive<Identity>),
    Srv(Place<SrvRaws>),
    Loc(Place<LocRaws>),
}

/// Every directive of the http block.
fn tags() -> Vec<(&'static Shape, Tag)> {
    let mut all: Vec<(&'static Shape, Tag)> = Vec::new();
    all.extend(LEVELS.iter().map(|level| (&level.shape, Tag::Level)));
    all.extend(IDENTITY.iter().map(|directive| (&directive.shape, Tag::Identity(directive))));
    all.extend(SrvRaws::directives().into_iter().map(|(shape, place)| (shape, Tag::Srv(place))));
    all.extend(LocRaws::directives().into_iter().map(|(shape, place)| (shape, Tag::Loc(place))));
    all
}

pub fn directives() -> impl Iterator<Item = &'static Shape> {
    tags().into_iter().map(|(shape, _)| shape)
}

/// Reads the block of `http { }`; what is wrong with it is in `cx.errors`.
pub fn read(cx: &mut Cx, http: Nodes) -> Http {
    let mut reader = Reader { index: Index::new(tags().into_iter()) };
    reader.http(cx, http)
}

struct Reader {
    index: Index<Tag>,
}

/// What the plain directives of one level said.
#[derive(Default)]
struct Said<'t> {
    srv: SrvRaws,
    loc: LocRaws,
    identity: Identity,
    levels: Vec<Node<'t>>,
}

impl Reader {
    fn plain<'t>(&self, cx: &mut Cx, context: Context, nodes: Nodes<'t>) -> Said<'t> {
        let mut said = Said::default();
        for node in nodes {
            let done = self.index.find(cx, context, node).and_then(|tag| match tag {
                Tag::Level => {
                    said.levels.push(node);
                    Ok(())
                }
                Tag::Identity(directive) => directive.set(&mut said.identity, cx, node),
                Tag::Srv(place) => place.set(&mut said.srv, cx, node),
                Tag::Loc(place) => place.set(&mut said.loc, cx, node),
            });
            cx.report(node, done);
        }
        said
    }

    fn http(&mut self, cx: &mut Cx, nodes: Nodes) -> Http {
        let said = self.plain(cx, Context::HTTP, nodes);
        let srv = said.srv.resolve(&SrvConf::defaults(cx));
        let loc = said.loc.resolve(&LocConf::defaults(cx));
        let mut listens = Listens::default();
        let mut servers = Vec::new();
        for node in said.levels {
            if let Some(nodes) = node.block() {
                servers.push(self.server(cx, node, nodes, &srv, &loc, &mut listens));
            }
        }
        Http { listening: listens.finish(cx), servers }
    }

    fn server(
        &mut self,
        cx: &mut Cx,
        node: Node,
        nodes: Nodes,
        srv: &SrvConf,
        loc: &LocConf,
        listens: &mut Listens,
    ) -> Rc<Server> {
        let said = self.plain(cx, Context::SERVER, nodes);
        let conf = said.loc.resolve(loc);
        let (locations, named) = self.locations(cx, &conf, said.levels, None);
        let location = Location { name: Box::default(), kind: Kind::Server, conf, locations };
        let identity = said.identity;
        let server = Rc::new(Server {
            name: identity.name(),
            conf: said.srv.resolve(srv),
            location: Rc::new(location),
            named,
        });
        listens.add(cx, node, &server, identity);
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
        let mut sorter = Sorter::default();
        for node in levels {
            let Some(nodes) = node.block() else { continue };
            let checked = locations::head(node);
            let checked = checked.and_then(|head| locations::fits(head, parent).map(|()| head));
            let head = match checked {
                Ok(head) => head,
                Err(error) => {
                    cx.errors.push(error);
                    continue;
                }
            };
            let said = self.plain(cx, Context::LOCATION, nodes);
            let conf = said.loc.resolve(outer);
            let (locations, _) = self.locations(cx, &conf, said.levels, Some(head));
            let (kind, name) = head;
            let location = Location { name: name.bytes().into(), kind, conf, locations };
            sorter.add(cx, name, location);
        }
        sorter.finish()
    }
}
