//! `settings!`: a struct of settings and its raw twin, from one declaration.
//!
//! The raw twin holds what one block said, `None` where it said nothing; `resolve`
//! fills the gaps from the level above. A level that said nothing shares the
//! parent's `Rc`.

use super::Cx;
use std::rc::Rc;

/// A raw twin, as the level readers use it.
pub trait Raw: Default {
    type Settings: Default;

    /// What is in force where no level has said anything.
    fn defaults(cx: &mut Cx) -> Self::Settings;

    /// This block's settings: its own, which are taken out, else those of the level
    /// above.
    fn resolve(&mut self, parent: &Self::Settings) -> Self::Settings;

    /// The settings of a block that said nothing.
    fn inherit(parent: &Rc<Self::Settings>) -> Rc<Self::Settings>;
}

/// The raw twin of one module, used for one block after the other.
#[derive(Default)]
pub struct Said<R: Raw> {
    raw: R,
    /// The block at hand has said something.
    any: bool,
}

impl<R: Raw> Said<R> {
    /// The twin, for a directive to store in.
    pub fn raw(&mut self) -> &mut R {
        self.any = true;
        &mut self.raw
    }

    /// The settings of the block at hand, shared with the parent if it said nothing;
    /// then the twin is ready for the next one.
    pub fn resolve(&mut self, parent: &Rc<R::Settings>) -> Rc<R::Settings> {
        match std::mem::take(&mut self.any) {
            true => Rc::new(self.raw.resolve(parent)),
            false => R::inherit(parent),
        }
    }
}

/// Declares `pub struct Loc` with defaults and `pub struct LocRaw` of options. What
/// stands under `own` is not inherited: a block that says nothing has the default.
/// `defaults` is for those that depend on the config as a whole, `after` for what is
/// done once a level is complete, beside the level above.
///
/// ```ignore
/// settings! {
///     /// What this module keeps for a location.
///     pub struct Loc, LocRaw {
///         pub etag: bool = true,
///         pub root: Root = Root::default(),
///     }
///     own {
///         pub answer: Option<Answer> = None,
///     }
///     defaults(cx) {
///         root: Root::below(cx),
///     }
/// }
/// ```
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, $raw:ident {
            $( $(#[$field_meta:meta])* pub $field:ident: $kind:ty = $default:expr, )*
        }
        $( own {
            $( $(#[$own_meta:meta])* pub $own:ident: $own_kind:ty = $own_default:expr, )*
        } )?
        $( defaults($cx:ident) {
            $( $given:ident: $value:expr, )*
        } )?
        $( after($all:ident, $above:ident) $after:block )?
    ) => {
        $(#[$meta])*
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $kind, )*
            $( $( $(#[$own_meta])* pub $own: $own_kind, )* )?
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $( $field: $default, )* $( $( $own: $own_default, )* )? }
            }
        }

        /// What one block said of it.
        #[derive(Default)]
        pub struct $raw {
            $( pub $field: Option<$kind>, )*
            $( $( pub $own: Option<$own_kind>, )* )?
        }

        impl $crate::conf::Raw for $raw {
            type Settings = $name;

            #[allow(
                unused_variables,
                unused_mut,
                clippy::field_reassign_with_default,
                reason = "most defaults depend on nothing"
            )]
            fn defaults(cx: &mut $crate::conf::Cx) -> $name {
                let mut all = $name::default();
                $( let $cx = cx; $( all.$given = $value; )* )?
                all
            }

            #[allow(unused_variables, unused_mut, reason = "a module may inherit nothing")]
            fn resolve(&mut self, parent: &$name) -> $name {
                let mut all = $name {
                    $( $field: self.$field.take().unwrap_or_else(|| parent.$field.clone()), )*
                    $( $( $own: self.$own.take().unwrap_or_else(|| $own_default), )* )?
                };
                $( {
                    let ($all, $above) = (&mut all, parent);
                    $after
                } )?
                all
            }

            fn inherit(parent: &std::rc::Rc<$name>) -> std::rc::Rc<$name> {
                const OWN: &[&str] =
                    &[$( $( stringify!($own), )* )? $( stringify!($all), )?];
                match OWN {
                    [] => std::rc::Rc::clone(parent),
                    _ => std::rc::Rc::new(<$raw>::default().resolve(parent)),
                }
            }
        }
    };
}

pub(crate) use settings;
