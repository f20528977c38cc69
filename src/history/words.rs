//! What counts as a word, for the index and for the search alike.
//!
//! Text is brought to NFKC and lower case. In scripts that put spaces between words, a word is a run of letters and digits,
//! and it is found by its beginning. Scripts that do not (Chinese, Japanese, Thai, ...), Hangul and pictures are found by any
//! run of characters: every character is indexed together with the one after it, and the last of a run alone, so that one
//! character is the beginning of exactly one token, and two or more are consecutive tokens.

use std::ops::ControlFlow;

use unicode_normalization::{UnicodeNormalization as _, is_nfkc};

use crate::limits;

/// What to look for: every term must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// The beginning of a word.
    Word(String),
    /// Consecutive characters.
    Run(String),
}

/// How characters make words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Between,
    Letter,
    Glyph,
}

impl Query {
    /// Reads what a user typed; at most [`limits::HISTORY_SEARCH_TERMS`] terms count.
    pub(crate) fn parse(text: &str) -> Self {
        let mut terms = Vec::new();
        pieces(&folded(text), |class, piece| {
            let term = match class {
                Class::Glyph => Term::Run(piece.to_owned()),
                Class::Letter | Class::Between => Term::Word(cut(piece).to_owned()),
            };
            if !terms.contains(&term) {
                terms.push(term);
            }
            if terms.len() < limits::HISTORY_SEARCH_TERMS {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        Self { terms }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a text has every term.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text = folded(text);
        self.terms.iter().all(|term| {
            let mut met = false;
            pieces(&text, |class, piece| {
                met = match (term, class) {
                    (Term::Word(word), Class::Letter) => piece.starts_with(word.as_str()),
                    (Term::Run(run), Class::Glyph) => piece.contains(run.as_str()),
                    (Term::Word(_), Class::Glyph | Class::Between) | (Term::Run(_), Class::Letter | Class::Between) => {
                        false
                    }
                };
                if met {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            met
        })
    }

    /// The same as an expression of FTS5. Finds at least what [`Query::matches`] does.
    pub(crate) fn expression(&self) -> String {
        let terms: Vec<String> = self
            .terms
            .iter()
            .map(|term| match term {
                Term::Word(word) => format!("\"{word}\"*"),
                Term::Run(run) => {
                    let mut tokens = Vec::new();
                    tokens_of_run(run, |token| tokens.push(token.to_owned()));
                    // The last character of the query stands for the beginning of a token, unless it is all there is.
                    match tokens.len() {
                        0 | 1 => format!("\"{run}\"*"),
                        _ => {
                            tokens.pop();
                            format!("\"{}\"", tokens.join(" "))
                        }
                    }
                }
            })
            .collect();
        terms.join(" AND ")
    }
}

/// Appends the tokens of a text, with spaces between them.
pub(crate) fn tokens(text: &str, out: &mut String) {
    out.clear();
    pieces(&folded(text), |class, piece| {
        let mut push = |token: &str| {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(token);
        };
        match class {
            Class::Glyph => tokens_of_run(piece, push),
            Class::Letter | Class::Between => push(cut(piece)),
        }
        ControlFlow::Continue(())
    });
}

fn tokens_of_run(run: &str, mut push: impl FnMut(&str)) {
    let mut places = run.char_indices().map(|(place, _)| place).chain([run.len()]).peekable();
    let starts: Vec<usize> = std::iter::from_fn(|| places.next()).collect();
    for (at, start) in starts.iter().take(starts.len() - 1).enumerate() {
        let end = starts.get(at + 2).copied().unwrap_or(run.len());
        push(run.get(*start..end).unwrap_or_default());
    }
}

/// A word of absurd length is indexed by its beginning.
fn cut(word: &str) -> &str {
    match word.char_indices().nth(limits::HISTORY_WORD_CHARS) {
        Some((end, _)) => word.get(..end).unwrap_or(word),
        None => word,
    }
}

fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    if is_nfkc(text) {
        return text.to_lowercase();
    }
    text.nfkc().collect::<String>().to_lowercase()
}

/// Hands over every run of characters of one class.
fn pieces(text: &str, mut take: impl FnMut(Class, &str) -> ControlFlow<()>) {
    let mut start = 0;
    let mut class = Class::Between;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let next = classify(c);
        if next == class && at < text.len() {
            continue;
        }
        if class != Class::Between
            && let Some(piece) = text.get(start..at)
            && take(class, piece).is_break()
        {
            return;
        }
        start = at;
        class = next;
    }
}

fn classify(c: char) -> Class {
    match c {
        'a'..='z' | '0'..='9' => Class::Letter,
        '\0'..='\x7f' => Class::Between,
        // Thai to Myanmar, Khmer; Hangul; kana, Han and their extensions; symbols and pictures.
        '\u{0E00}'..='\u{0EFF}'
        | '\u{1000}'..='\u{11FF}'
        | '\u{1780}'..='\u{17FF}'
        | '\u{2600}'..='\u{27BF}'
        | '\u{2E80}'..='\u{2FDF}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3021}'..='\u{303C}'
        | '\u{3041}'..='\u{9FFF}'
        | '\u{A960}'..='\u{A97F}'
        | '\u{AC00}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{1F000}'..='\u{1FAFF}'
        | '\u{20000}'..='\u{3FFFF}'
            if c != '\u{30FB}' =>
        {
            Class::Glyph
        }
        c if c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c) => Class::Letter,
        _ => Class::Between,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexed(text: &str) -> String {
        let mut out = String::new();
        tokens(text, &mut out);
        out
    }

    #[test]
    fn words_are_split_and_runs_become_pairs() {
        assert_eq!(indexed("Hello, WORLD-2!"), "hello world 2");
        assert_eq!(indexed("我爱北京。好"), "我爱 爱北 北京 京 好");
        assert_eq!(indexed("用Rust写的Ｐlaza"), "用 rust 写的 的 plaza");
        assert_eq!(indexed("\"quotes\" AND * NEAR"), "quotes and near");
        assert_eq!(indexed(""), "");
        assert_eq!(indexed(&"x".repeat(100)), "x".repeat(32));
    }

    #[test]
    fn two_characters_are_found_anywhere_and_words_by_their_beginning() {
        let found = |query: &str, text: &str| Query::parse(query).matches(text);
        assert!(found("北京", "我爱北京天安门"));
        assert!(found("京", "北京"));
        assert!(!found("京北", "北京"));
        assert!(!found("爱天", "我爱北京天安门"));
        assert!(found("hel wor", "Hello, world"));
        assert!(!found("ello", "Hello"));
        assert!(found("ÉTÉ", "e\u{301}te\u{301}"));
        assert!(found("🎉", "party 🎉🎉"));
        assert!(Query::parse("?! ").is_empty());
    }

    #[test]
    fn expressions_hold_only_tokens() {
        assert_eq!(
            Query::parse("hello 北京人 好").expression(),
            "\"hello\"* AND \"北京 京人\" AND \"好\"*"
        );
        assert_eq!(
            Query::parse("a\"b OR c*").expression(),
            "\"a\"* AND \"b\"* AND \"or\"* AND \"c\"*"
        );
    }
}
