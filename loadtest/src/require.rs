//! `--require lost=0,p99_ms<=20`: the conditions for a run to pass.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Comparison {
    AtMost,
    AtLeast,
    Below,
    Above,
    Exactly,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Requirement {
    pub name: String,
    pub comparison: Comparison,
    pub bound: f64,
}

/// Several of them, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Requirements(pub Vec<Requirement>);

impl Requirement {
    /// `None` if it holds; otherwise the condition and the seen value.
    pub fn missed(&self, figures: &BTreeMap<String, f64>) -> Option<String> {
        let Some(&seen) = figures.get(&self.name) else {
            let known: Vec<_> = figures.keys().map(String::as_str).collect();
            let known = known.join(", ");
            return Some(format!("{self}: this run has no such figure; it has {known}"));
        };
        let holds = match self.comparison {
            Comparison::AtMost => seen <= self.bound,
            Comparison::AtLeast => seen >= self.bound,
            Comparison::Below => seen < self.bound,
            Comparison::Above => seen > self.bound,
            Comparison::Exactly => seen == self.bound,
        };
        (!holds).then(|| format!("{self}: it was {seen}"))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::AtMost => "<=",
            Comparison::AtLeast => ">=",
            Comparison::Below => "<",
            Comparison::Above => ">",
            Comparison::Exactly => "=",
        };
        write!(out, "{}{sign}{}", self.name, self.bound)
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const SIGNS: [(&str, Comparison); 6] = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("==", Comparison::Exactly),
            ("<", Comparison::Below),
            (">", Comparison::Above),
            ("=", Comparison::Exactly),
        ];
        let mut found = SIGNS
            .iter()
            .filter_map(|(sign, comparison)| Some((text.split_once(sign)?, *comparison)));
        let Some(((name, bound), comparison)) = found.next() else {
            return Err(format!("`{text}` compares nothing; write it as p99_ms<=20"));
        };
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("`{text}` names no figure; write it as p99_ms<=20"));
        }
        match bound.trim().parse::<f64>() {
            Ok(bound) if bound.is_finite() => Ok(Self {
                name: name.to_owned(),
                comparison,
                bound,
            }),
            Ok(_) | Err(_) => Err(format!("`{text}`: `{bound}` is not a number")),
        }
    }
}

impl FromStr for Requirements {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .filter(|part| !part.trim().is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn figures() -> BTreeMap<String, f64> {
        BTreeMap::from([("lost".to_owned(), 0.0), ("p99_ms".to_owned(), 20.5)])
    }

    #[test]
    fn every_sign_compares_as_it_reads() {
        for (text, holds) in [
            ("lost=0", true),
            ("lost==0", true),
            ("lost=1", false),
            ("p99_ms<=20.5", true),
            ("p99_ms < 20.5", false),
            ("p99_ms>=20.5", true),
            ("p99_ms>20.5", false),
            ("p99_ms>20", true),
        ] {
            let Requirements(parsed) = text.parse().unwrap();
            assert_eq!(parsed[0].missed(&figures()).is_none(), holds, "{text}");
        }
    }

    #[test]
    fn a_figure_that_does_not_exist_is_missed_and_the_message_lists_those_that_do() {
        let Requirements(parsed) = "lost=0,p98_ms<=3".parse().unwrap();
        assert_eq!(parsed.len(), 2);
        assert_eq!(parsed[0].missed(&figures()), None);
        assert!(parsed[1].missed(&figures()).unwrap().contains("it has lost, p99_ms"));
    }

    #[test]
    fn what_is_no_requirement_is_refused() {
        for text in ["lost", "=3", "p99_ms<=", "p99_ms<=many", "a b<3", "p99_ms<=inf"] {
            assert!(text.parse::<Requirements>().is_err(), "{text}");
        }
    }
}
