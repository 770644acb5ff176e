//! `settings!`: a struct of settings and its raw twin, from one declaration.
//!
//! The raw twin holds what one block said, `None` where it said nothing; `resolve`
//! fills the gaps from the level above. A level that said nothing shares the
//! parent's `Rc`.

/// Declares `pub struct Loc` with defaults and `pub struct LocRaw` of options:
///
/// ```ignore
/// settings! {
///     /// What this module keeps for a location.
///     pub struct Loc, LocRaw {
///         pub etag: bool = true,
///         pub files: Rc<[File]> = default_files(),
///     }
/// }
/// ```
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, $raw:ident {
            $( $(#[$field_meta:meta])* pub $field:ident: $kind:ty = $default:expr, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $kind, )*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $( $field: $default, )* }
            }
        }

        /// What one block said of it.
        #[derive(Default, Debug)]
        pub struct $raw {
            $( pub $field: Option<$kind>, )*
        }

        impl $raw {
            /// This block's settings: its own, else those of the level above.
            pub fn resolve(self, parent: &$name) -> $name {
                $name {
                    $( $field: self.$field.unwrap_or_else(|| parent.$field.clone()), )*
                }
            }
        }
    };
}

pub(crate) use settings;
