//! The version of this build.

/// As `plaza --version` shows it behind the program's name.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("PLAZA_COMMIT"),
    ", ",
    env!("PLAZA_PROFILE"),
    " build)"
);
