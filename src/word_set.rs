//! Closed sets of words: enums whose variants have the names that the wire, metrics, logs and documents use.

/// A closed set of words.
pub trait Word: Copy + 'static {
    /// All words, in the order of `index`.
    const WORDS: &'static [Self];

    fn name(self) -> &'static str;

    /// Its place in [`Word::WORDS`].
    fn index(self) -> usize;
}

macro_rules! word_sets {
    ($(
        $(#[doc = $doc:literal])*
        $Set:ident {$(
            $(#[doc = $variant_doc:literal])*
            $variant:ident = $name:literal,
        )*}
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $Set {$(
            $(#[doc = $variant_doc])*
            $variant,
        )*}

        impl $Set {
            /// Every one, in the order of declaration.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl $crate::word_set::Word for $Set {
            const WORDS: &'static [Self] = &Self::ALL;

            fn name(self) -> &'static str {
                self.name()
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )*};
}

pub(crate) use word_sets;
