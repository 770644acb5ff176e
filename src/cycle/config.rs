//! A whole configuration: read, checked, nothing of it live yet.

use super::core_conf::{Core, CoreRaw, EVENTS_TABLE, Events, EventsRaw, MAIN_TABLE};
use crate::conf::{self, Context, Cx, Error, Errors, Nodes, Raw, Shape, Source, Tree};
use crate::http::conf::Http;
use std::path::Path;
use std::rc::Rc;

pub struct Config {
    pub core: Core,
    pub events: Events,
    /// `None`: no `http` block.
    pub http: Option<Rc<Http>>,
    /// The text that it was read from, for `-T` and for messages.
    pub tree: Tree,
    /// What was wrong with it, and the logs and zones that it wants opened.
    pub cx: Cx,
}

/// Every directive that limpet has.
pub fn directives() -> Vec<&'static Shape> {
    let mut all: Vec<&'static Shape> = Vec::new();
    all.extend(MAIN_TABLE.iter().map(|directive| &directive.shape));
    all.extend(EVENTS_TABLE.iter().map(|directive| &directive.shape));
    all.extend(crate::http::conf::directives());
    all
}

/// The words of a configuration, as far as they can be read.
pub fn tree(source: &Source, known: &[&'static Shape]) -> (Tree, Errors) {
    source.read(|name: &[u8]| {
        let contexts = conf::contexts_of(known, name);
        contexts.is_some_and(|contexts| !contexts.meets(Context::MAIN))
    })
}

impl Config {
    /// Reads a configuration as far as it goes; `cx.errors` says what is wrong.
    pub fn read(source: &Source, prefix: &Path) -> Config {
        let known = directives();
        let (tree, errors) = tree(source, &known);
        let mut cx = Cx::new(prefix, known);
        cx.conf_prefix = prefix.join(&source.conf_prefix);
        cx.errors = errors;
        let defaults = block(&mut cx, &tree, conf::DEFAULTS);
        let defaults = defaults.map(|nodes| core(&mut cx, nodes, &Core::default()));
        let core = core(&mut cx, tree.nodes(), &defaults.unwrap_or_default());
        let events = events(&mut cx, &tree);
        let http =
            block(&mut cx, &tree, "http").map(|nodes| crate::http::conf::read(&mut cx, nodes));
        // What only the whole shows, and so only if the parts are right.
        if cx.errors.is_empty() {
            check(&mut cx, &tree, &core, &events, http.as_ref());
        }
        cx.errors.sort();
        Config { core, events, http: http.map(Rc::new), tree, cx }
    }
}

fn core(cx: &mut Cx, nodes: Nodes, defaults: &Core) -> Core {
    let mut raw = CoreRaw::default();
    conf::apply(MAIN_TABLE, Context::MAIN, &mut raw, cx, nodes);
    raw.resolve(defaults)
}

fn events(cx: &mut Cx, tree: &Tree) -> Events {
    let mut raw = EventsRaw::default();
    if let Some(nodes) = block(cx, tree, "events") {
        conf::apply(EVENTS_TABLE, Context::EVENTS, &mut raw, cx, nodes);
    }
    raw.resolve(&Events::default())
}

/// The one block of that name; a second one is an error.
fn block<'t>(cx: &mut Cx, tree: &'t Tree, name: &str) -> Option<Nodes<'t>> {
    let mut found = None;
    for node in tree.nodes().filter(|node| node.name().bytes() == name.as_bytes()) {
        match (node.block(), found) {
            (Some(nodes), None) => found = Some(nodes),
            (Some(_), Some(_)) => cx.errors.push(Error::directive(node, "is duplicate")),
            // The table has complained of it.
            (None, _) => (),
        }
    }
    found
}

fn check(cx: &mut Cx, tree: &Tree, core: &Core, events: &Events, http: Option<&Http>) {
    cx.check_zones();
    if tree.nodes().all(|node| node.name().bytes() != b"events") {
        cx.errors.push(Error::nowhere("no \"events\" section in configuration"));
    }
    if core.config_watch && !core.master_process {
        let text = "\"config_watch\" has no effect without a master process";
        cx.errors.warn(Error::nowhere(text));
    }
    let masks = core.worker_cpu_affinity.masks.len();
    let fits = masks <= 1 || core.worker_cpu_affinity.auto || core.worker_processes.is(masks);
    if !fits {
        let text = "the number of \"worker_processes\" is not equal to the number of \
                    \"worker_cpu_affinity\" masks, using last mask for remaining worker processes";
        cx.errors.warn(Error::nowhere(text));
    }
    let listening = http.map_or(0, |http| http.listening.len());
    if events.worker_connections < listening as u64 + 1 {
        let text = format!(
            "{} worker_connections are not enough for {listening} listening sockets",
            events.worker_connections
        );
        cx.errors.push(Error::nowhere(text));
    }
}

#[cfg(test)]
mod tests;
