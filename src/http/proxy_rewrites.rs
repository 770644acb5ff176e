//! What a proxied response says of places and cookies, in the client's terms:
//! `proxy_redirect`, `proxy_cookie_domain`, `proxy_cookie_path`, `proxy_cookie_flags`.

mod cookie;
mod redirect;
#[cfg(test)]
mod tests;

pub use cookie::cookie;
pub use redirect::{Usual, location, refresh};

use crate::conf::{Args, Context, Cx, Directive, Error, Node, Pattern, Template, Word, settings};
use crate::text::ascii;
use crate::vars::Subject;
use std::rc::Rc;

settings! {
    /// Each list is asked from its front until a rule applies; an empty one is "off".
    pub struct Loc, LocRaw {
        /// Of `Location` and `Refresh`.
        pub redirects: Rc<Vec<Rule>> = Rc::new(vec![Rule::usual()]),
        pub domains: Rc<Vec<Rule>> = Rc::default(),
        pub paths: Rc<Vec<Rule>> = Rc::default(),
        pub flags: Rc<Vec<cookie::Flags>> = Rc::default(),
    }
}

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("proxy_redirect", Context::ALL, Args::ONE_TWO, |raw, cx, node| {
        let rule = redirect::read(cx, node)?;
        add(&mut raw.redirects, node, rule)
    }),
    Directive::call("proxy_cookie_domain", Context::ALL, Args::ONE_TWO, |raw, cx, node| {
        let rule = cookie::read_domain(cx, node)?;
        add(&mut raw.domains, node, rule)
    }),
    Directive::call("proxy_cookie_path", Context::ALL, Args::ONE_TWO, |raw, cx, node| {
        let rule = cookie::read_path(cx, node)?;
        add(&mut raw.paths, node, rule)
    }),
    Directive::call("proxy_cookie_flags", Context::ALL, Args::ONE_TO_FOUR, |raw, cx, node| {
        let rule = cookie::read_flags(cx, node)?;
        add(&mut raw.flags, node, rule)
    }),
];

/// Adds a rule to a list; `None` is "off", which stands alone.
fn add<T: Clone>(list: &mut Option<Rc<Vec<T>>>, node: Node, rule: Option<T>) -> Result<(), Error> {
    let is_off = list.as_ref().is_some_and(|list| list.is_empty());
    if is_off || rule.is_none() && list.is_some() {
        return Err(Error::directive(node, "is duplicate"));
    }
    Rc::make_mut(list.get_or_insert_default()).extend(rule);
    Ok(())
}

/// What a text becomes that is as it says.
#[derive(Clone)]
pub struct Rule {
    from: From,
    to: Template,
}

#[derive(Clone)]
enum From {
    /// What `proxy_pass` and the location make of it.
    Usual,
    /// The text begins so; the rest stays.
    Prefix(Template),
    /// The text is this, case and a dot in front aside; the dot stays.
    Domain(Template),
    Pattern(Rc<Pattern>),
}

impl Rule {
    fn usual() -> Rule {
        Rule { from: From::Usual, to: Template::default() }
    }

    /// `FROM TO`, where FROM may be `~REGEX` or `~*REGEX`.
    fn read(cx: &mut Cx, from: Word, to: Word) -> Result<Rule, Error> {
        let from = match from.bytes() {
            [b'~', b'*', ..] => From::Pattern(cx.pattern(from.part(2), true)?),
            [b'~', ..] => From::Pattern(cx.pattern(from.part(1), false)?),
            _ => From::Prefix(cx.template(from)?),
        };
        Ok(Rule { from, to: cx.template(to)? })
    }

    fn apply<'r>(
        &'r self,
        subject: &impl Subject<'r>,
        usual: Option<&'r Usual>,
        text: &'r [u8],
    ) -> Applied<'r> {
        let scratch = subject.scratch();
        Ok(match &self.from {
            From::Usual => match usual.and_then(|usual| Some((usual, usual.rest(text)?))) {
                Some((usual, rest)) => Some(scratch.concat(&[usual.to(), rest]).ok_or(NoRoom)?),
                None => None,
            },
            From::Prefix(from) => {
                let from = subject.render(from).ok_or(NoRoom)?;
                let Some(rest) = text.strip_prefix(from) else { return Ok(None) };
                let to = subject.render(&self.to).ok_or(NoRoom)?;
                Some(scratch.concat(&[to, rest]).ok_or(NoRoom)?)
            }
            From::Domain(from) => {
                let from = subject.render(from).ok_or(NoRoom)?;
                let bare = text.strip_prefix(b".").unwrap_or(text);
                if !ascii::eq_ignore_case(bare, from) {
                    return Ok(None);
                }
                let dot = text.get(..text.len() - bare.len()).unwrap_or_default();
                let to = subject.render(&self.to).ok_or(NoRoom)?;
                Some(scratch.concat(&[dot, to]).ok_or(NoRoom)?)
            }
            From::Pattern(pattern) => match subject.matches(pattern, text) {
                true => Some(subject.render(&self.to).ok_or(NoRoom)?),
                false => None,
            },
        })
    }
}

/// There is no room for a value.
struct NoRoom;

/// What became of a text, if anything.
type Applied<'r> = Result<Option<&'r [u8]>, NoRoom>;

/// The first rule that applies.
fn apply<'r>(
    rules: &'r [Rule],
    subject: &impl Subject<'r>,
    usual: Option<&'r Usual>,
    text: &'r [u8],
) -> Applied<'r> {
    for rule in rules {
        if let Some(text) = rule.apply(subject, usual, text)? {
            return Ok(Some(text));
        }
    }
    Ok(None)
}
