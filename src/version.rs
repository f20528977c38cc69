//! The version of this build.

/// The text that `plaza --version` shows after the program's name.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("PLAZA_COMMIT"),
    ", ",
    env!("PLAZA_PROFILE"),
    " build)"
);
