//! The tree of an expression.
use super::set::Set;

#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// One byte of the set.
    Byte(Set),
    Assert(Assert),
    /// All, one after the other; none is the empty expression.
    Concat(Vec<Node>),
    /// The first that fits, in this order.
    Alternate(Vec<Node>),
    Capture(usize, Box<Node>),
    Repeat(Box<Node>, Count),
    /// `(?>…)` and possessive quantifiers: the first way to match is the only one.
    Atomic(Box<Node>),
    Look(Look, Box<Node>),
    /// `\K`: the match begins here.
    Keep,
}

/// What is asked of a place without taking a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assert {
    /// `\A`, `\G`, `^`.
    Start,
    /// `\z`.
    End,
    /// `\Z`, `$`: the end, or before a newline that is the end.
    EndOrNewline,
    /// `^` in `(?m)`: not after a newline that is the end.
    LineStart,
    /// `$` in `(?m)`.
    LineEnd,
    WordBoundary,
    NotWordBoundary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub least: u32,
    /// None: any number.
    pub most: Option<u32>,
    pub lazy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub behind: bool,
    pub negative: bool,
}

impl Node {
    pub const EMPTY: Node = Node::Concat(Vec::new());

    /// Whether it can match without taking a byte.
    pub fn can_be_empty(&self) -> bool {
        match self {
            Node::Byte(_) => false,
            Node::Assert(_) | Node::Look(..) | Node::Keep => true,
            Node::Concat(nodes) => nodes.iter().all(Node::can_be_empty),
            Node::Alternate(nodes) => nodes.iter().any(Node::can_be_empty),
            Node::Capture(_, node) | Node::Atomic(node) => node.can_be_empty(),
            Node::Repeat(node, count) => count.least == 0 || node.can_be_empty(),
        }
    }
}
