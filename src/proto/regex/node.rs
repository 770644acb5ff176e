//! The tree of an expression.
use super::set::{NEWLINE, Set};

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

    /// How many bytes it takes, at least and at most; None: any number.
    pub fn lengths(&self) -> (usize, Option<usize>) {
        match self {
            Node::Byte(_) => (1, Some(1)),
            Node::Assert(_) | Node::Look(..) | Node::Keep => (0, Some(0)),
            Node::Concat(nodes) => {
                nodes.iter().map(Node::lengths).fold((0, Some(0)), |(least, most), (less, more)| {
                    (least.saturating_add(less), sum(most, more))
                })
            }
            Node::Alternate(nodes) => {
                let all = nodes.iter().map(Node::lengths);
                let either = |(least, most): (usize, Option<usize>), (less, more)| {
                    (least.min(less), most.zip(more).map(|(most, more)| most.max(more)))
                };
                all.reduce(either).unwrap_or((0, Some(0)))
            }
            Node::Capture(_, node) | Node::Atomic(node) => node.lengths(),
            Node::Repeat(node, count) => {
                let (least, most) = node.lengths();
                let times = |most: usize| most.checked_mul(count.most? as usize);
                let most = if most == Some(0) { most } else { most.and_then(times) };
                (least.saturating_mul(count.least as usize), most)
            }
        }
    }

    /// Whether a group is in it that is recorded.
    pub fn captures(&self) -> bool {
        match self {
            Node::Byte(_) | Node::Assert(_) | Node::Keep => false,
            Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().any(Node::captures),
            Node::Capture(group, node) => *group < super::CAPTURES || node.captures(),
            Node::Repeat(node, _) | Node::Atomic(node) => node.captures(),
            Node::Look(look, node) => !look.negative && node.captures(),
        }
    }

    /// Whether every match begins at the start of the text.
    pub fn is_anchored(&self) -> bool {
        match self {
            Node::Assert(assert) => *assert == Assert::Start,
            Node::Concat(nodes) => nodes.first().is_some_and(Node::is_anchored),
            Node::Alternate(nodes) => nodes.iter().all(Node::is_anchored),
            Node::Capture(_, node) | Node::Atomic(node) => node.is_anchored(),
            Node::Repeat(node, count) => count.least > 0 && node.is_anchored(),
            Node::Byte(_) | Node::Look(..) | Node::Keep => false,
        }
    }

    /// The bytes of which one is the last of every match, if there are such.
    pub fn last(&self) -> Option<Set> {
        match self {
            Node::Byte(set) => Some(*set),
            Node::Concat(nodes) => {
                let takes = |node: &&Node| node.lengths() != (0, Some(0));
                nodes.iter().rev().find(takes).and_then(Node::last)
            }
            Node::Alternate(nodes) => {
                let mut all = nodes.iter().map(Node::last);
                all.try_fold(Set::NONE, |some, last| Some(some.or(last?)))
            }
            Node::Capture(_, node) | Node::Atomic(node) => node.last(),
            Node::Repeat(node, count) if count.least > 0 => node.last(),
            Node::Repeat(..) | Node::Assert(_) | Node::Look(..) | Node::Keep => None,
        }
    }

    /// Whether it begins with `.*`. Then, if there is a match, there is one that
    /// begins where the line does.
    pub fn takes_line(&self) -> bool {
        match self {
            Node::Repeat(node, count) => {
                let any = |set: &Set| set.or(NEWLINE) == Set::ALL;
                count.least == 0
                    && count.most.is_none()
                    && matches!(&**node, Node::Byte(set) if any(set))
            }
            Node::Concat(nodes) => nodes.first().is_some_and(Node::takes_line),
            Node::Alternate(nodes) => nodes.iter().all(Node::takes_line),
            Node::Capture(_, node) => node.takes_line(),
            Node::Byte(_) | Node::Assert(_) | Node::Atomic(_) | Node::Look(..) | Node::Keep => {
                false
            }
        }
    }

    /// Whether every match ends at the end of the text, or before its last newline.
    pub fn ends_at_end(&self) -> bool {
        match self {
            Node::Assert(assert) => matches!(assert, Assert::End | Assert::EndOrNewline),
            Node::Concat(nodes) => nodes.last().is_some_and(Node::ends_at_end),
            Node::Alternate(nodes) => nodes.iter().all(Node::ends_at_end),
            Node::Capture(_, node) | Node::Atomic(node) => node.ends_at_end(),
            Node::Repeat(node, count) => count.least > 0 && node.ends_at_end(),
            Node::Byte(_) | Node::Look(..) | Node::Keep => false,
        }
    }
}

fn sum(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    a?.checked_add(b?)
}
