//! `log.filter`: which lines the server log has.
//!
//! Every part of a filter must be able to choose a line: a word that is no level, or the name of a part that Plaza does not have,
//! would otherwise silence the log, since only lines that some part of the filter names are written.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{types::LogFilter, value::Scalar};

impl Scalar for LogFilter {
    fn kind() -> String {
        "error, warn, info, debug, trace, off, or a list such as \"info,plaza::history=debug\"".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        match parts[..] {
            [] => return Err("which chooses nothing".to_owned()),
            [word] if !word.contains('=') && !is_level(word) => return Err("which is not a level".to_owned()),
            _ => {}
        }
        parts.iter().try_for_each(|part| check(part))?;
        let filter = parts.join(",");
        match EnvFilter::builder().parse(&filter) {
            Ok(_) => Ok(Self(filter)),
            Err(error) => Err(format!("which is not a filter ({error})")),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// One part: a level, a target, or a target and its level.
fn check(part: &str) -> Result<(), String> {
    if part.contains(['[', ']', '{', '}']) {
        return Err(format!("in which {part:?} chooses by spans, and Plaza has none"));
    }
    let target = match part.split_once('=') {
        Some((target, level)) if is_level(level) => target,
        Some((_, level)) => return Err(format!("in which {part:?} has the level {level:?}, which is none")),
        None if is_level(part) => return Ok(()),
        None => part,
    };
    if !target.is_empty() && LOG_TARGETS.iter().any(|known| known.starts_with(target)) {
        return Ok(());
    }
    let known = LOG_TARGETS.join(", ");
    Err(format!(
        "in which {target:?} begins the name of no part that logs (known are: {known})"
    ))
}

/// A name, or a number from 0 to 5.
fn is_level(word: &str) -> bool {
    // The empty word would be read as a level, too.
    !word.is_empty() && word.parse::<LevelFilter>().is_ok()
}

// Made by build.rs: the modules that log.
include!(concat!(env!("OUT_DIR"), "/log_targets.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_can_choose_lines_is_taken() {
        for text in [
            "info",
            "WARN",
            "off",
            "3",
            "warn,plaza::shard=trace",
            "warn, plaza::history=debug",
            "plaza=info",
            "plaza::ingress::acceptor=off,info",
            "error,plaza::history",
        ] {
            assert!(<LogFilter as Scalar>::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_filter_that_chooses_nothing_is_refused_with_what_was_seen() {
        for (text, said) in [
            ("", "chooses nothing"),
            (" , ", "chooses nothing"),
            ("verbose", "not a level"),
            ("infoo", "not a level"),
            ("infoo=", "the level \"\""),
            ("plaza=", "the level \"\""),
            ("plaza=loud", "the level \"loud\""),
            ("info,plaza::shard=debg", "the level \"debg\""),
            ("=info", "\"\" begins"),
            ("infoo=info", "\"infoo\" begins"),
            ("info,plaza::histroy=debug", "\"plaza::histroy\" begins"),
            ("info,hyper=debug", "\"hyper\" begins"),
            ("info,debgu", "\"debgu\" begins"),
            ("info,plaza=info=debug", "the level \"info=debug\""),
            ("[session]=debug", "spans"),
            ("plaza[{user=ann}]=debug", "spans"),
        ] {
            let parsed = <LogFilter as Scalar>::parse(text);
            assert!(
                parsed.as_ref().is_err_and(|problem| problem.contains(said)),
                "{text}: {parsed:?}"
            );
        }
    }

    #[test]
    fn what_logs_is_known() {
        for module in [
            "plaza",
            "plaza::server::shard_thread",
            "plaza::history::writer",
            "plaza::ingress::http",
        ] {
            assert!(LOG_TARGETS.contains(&module), "{module}");
        }
        assert!(!LOG_TARGETS.contains(&"plaza::limits"));
    }
}
