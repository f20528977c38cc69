//! The meaning of a search query, and the tokens that the index has for a text.
//!
//! A query is split at white space and between a script without spaces and one with spaces. A message matches if it contains every term,
//! in any order. Terms are compared character by character after [`fold`], punctuation included: `C++` is not `C`. A term that begins
//! with at least [`GRAM`] letters or digits, with a character of a script without spaces, or with punctuation, matches anywhere, also
//! inside a word. One that begins with fewer letters matches only at the beginning of a word, because `a` would match every message
//! otherwise.
//!
//! The index only narrows the candidates; [`SearchQuery::matches`] decides. A word has as tokens its runs of three and four characters
//! and its beginning. Scripts without spaces (Chinese, Japanese, Thai, …), Hangul and pictographs have every character and every pair of
//! adjacent characters. A term of punctuation alone has no token, so search scans for it.

use super::{
    fold::fold,
    script::{Class, Piece, by_script, classify, pieces},
};
use crate::limits;

/// A query: a message must contain every term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SearchQuery {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    text: String,
    anchor: Anchor,
}

/// Where in a text a term may match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Anywhere,
    WordStart,
}

impl SearchQuery {
    /// Parses a query. Terms beyond [`limits::HISTORY_SEARCH_TERMS`] are ignored.
    pub(crate) fn parse(text: &str) -> Self {
        let folded = fold(text);
        let mut terms: Vec<Term> = Vec::new();
        for text in folded.split_whitespace().flat_map(by_script) {
            if terms.len() < limits::HISTORY_SEARCH_TERMS && terms.iter().all(|term| term.text != text) {
                terms.push(Term::new(text));
            }
        }
        Self { terms }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a text contains every term.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text = fold(text);
        self.terms.iter().all(|term| term.is_in(&text))
    }

    /// The FTS5 expression. It matches at least the messages that [`SearchQuery::matches`] does; `None` if every message may match.
    pub(crate) fn expression(&self) -> Option<String> {
        let mut needles: Vec<String> = Vec::new();
        for term in &self.terms {
            term.needles(|needle| {
                if needles.len() < limits::HISTORY_SEARCH_NEEDLES && !needles.contains(&needle) {
                    needles.push(needle);
                }
            });
        }
        let quoted: Vec<String> = needles.iter().map(|needle| format!("\"{needle}\"")).collect();
        (!quoted.is_empty()).then(|| quoted.join(" AND "))
    }
}

impl Term {
    fn new(text: &str) -> Self {
        let anchor = match pieces(text).next() {
            Some(Piece {
                class: Class::Letter,
                text,
                ..
            }) if text.chars().nth(GRAM - 1).is_none() => Anchor::WordStart,
            Some(_) | None => Anchor::Anywhere,
        };
        Self {
            text: text.to_owned(),
            anchor,
        }
    }

    fn is_in(&self, text: &str) -> bool {
        let mut from = 0;
        while let Some(found) = text.get(from..).and_then(|rest| rest.find(&self.text)) {
            let at = from + found;
            let inside = text
                .get(..at)
                .and_then(|before| before.chars().next_back())
                .is_some_and(|before| classify(before) == Class::Letter);
            match self.anchor {
                Anchor::Anywhere => return true,
                Anchor::WordStart if !inside => return true,
                Anchor::WordStart => {}
            }
            // The next occurrence may overlap this one.
            from = at
                + text
                    .get(at..)
                    .and_then(|rest| rest.chars().next())
                    .map_or(1, char::len_utf8);
        }
        false
    }

    /// The tokens that every text with this term has.
    fn needles(&self, mut take: impl FnMut(String)) {
        for Piece { class, at, text } in pieces(&self.text) {
            let letters: Vec<char> = text.chars().take(limits::HISTORY_WORD_CHARS).collect();
            let ends = at + text.len() < self.text.len();
            match (class, &letters[..]) {
                (Class::Between, _) | (_, []) => {}
                (Class::Glyph, [one]) => take(one.to_string()),
                (Class::Glyph, run) => grams(run, 2, &mut take),
                // A run this short begins a word: it is first in its term, or follows punctuation.
                (Class::Letter, [one]) if ends => take([WHOLE, *one].into_iter().collect()),
                (Class::Letter, start @ ([_] | [_, _])) => take([START].iter().chain(start).collect()),
                (Class::Letter, run) if run.len() == GRAM => grams(run, GRAM, &mut take),
                (Class::Letter, run) => grams(run, LONG_GRAM, &mut take),
            }
        }
    }
}

/// Appends the tokens of a text, separated by spaces.
pub(crate) fn tokens(text: &str, out: &mut String) {
    out.clear();
    let mut push = |token: &[char]| {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(token);
    };
    let folded = fold(text);
    for Piece { class, text, .. } in pieces(&folded) {
        match class {
            Class::Between => {}
            Class::Glyph => {
                let run: Vec<char> = text.chars().collect();
                run.iter().for_each(|one| push(&[*one]));
                run.windows(2).for_each(&mut push);
            }
            Class::Letter => {
                let word: Vec<char> = text.chars().take(limits::HISTORY_WORD_CHARS).collect();
                match word[..] {
                    [] => {}
                    [one] => {
                        push(&[WHOLE, one]);
                        push(&[START, one]);
                    }
                    [one, two, ..] => {
                        push(&[START, one]);
                        push(&[START, one, two]);
                    }
                }
                word.windows(GRAM).for_each(&mut push);
                word.windows(LONG_GRAM).for_each(&mut push);
            }
        }
    }
}

/// The fewest grams that cover a run. Each one is a list that the index has to read.
fn grams(run: &[char], length: usize, take: &mut impl FnMut(String)) {
    let last = run.len().saturating_sub(length);
    for at in (0..last).step_by(length).chain([last]) {
        take(run.iter().skip(at).take(length).collect());
    }
}

/// The least number of letters of a term that is found inside words, and the length of a token.
const GRAM: usize = 3;
/// The length of the tokens for longer terms. Runs of three are in too many messages: a search for two words that never occur together
/// read their lists for 40 ms instead of 1.4 (300,000 messages).
const LONG_GRAM: usize = 4;
/// First character of the token for the beginning of a word. It is private use, so no word of a text contains it.
const START: char = '\u{E000}';
/// First character of the token for a word of one letter.
const WHOLE: char = '\u{E001}';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn indexed(text: &str) -> Vec<String> {
        let mut out = String::new();
        tokens(text, &mut out);
        out.replace(START, "<")
            .replace(WHOLE, "=")
            .split(' ')
            .map(str::to_owned)
            .collect()
    }

    fn found(query: &str, text: &str) -> bool {
        SearchQuery::parse(query).matches(text)
    }

    #[test]
    fn words_become_runs_of_three_and_scripts_without_spaces_runs_of_two() {
        assert_eq!(indexed("Hello!"), ["<h", "<he", "hel", "ell", "llo", "hell", "ello"]);
        assert_eq!(indexed("C++ or go"), ["=c", "<c", "<o", "<or", "<g", "<go"]);
        assert_eq!(
            indexed("我爱北京。好"),
            ["我", "爱", "北", "京", "我爱", "爱北", "北京", "好"]
        );
        assert_eq!(indexed("用Café"), ["用", "<c", "<ca", "caf", "afe", "cafe"]);
        assert_eq!(indexed(""), [""]);
    }

    #[test]
    fn a_term_of_three_letters_is_found_inside_words_and_a_shorter_one_at_their_beginning() {
        for (query, text) in [
            ("hel wor", "Hello, world"),
            ("WORLD hello", "Hello, world"),
            ("ello", "Hello"),
            ("phone", "my smartphone"),
            ("go", "let's go"),
            ("go", "(Golang)"),
            ("h", "Hello"),
            ("42", "42nd street"),
            ("2026", "on 27.11.2026"),
        ] {
            assert!(found(query, text), "{query:?} in {text:?}");
        }
        for (query, text) in [
            ("lo", "Hello"),
            ("go", "cargo"),
            ("a", "cargo"),
            ("olleh", "hello"),
            ("hello x", "hello"),
        ] {
            assert!(!found(query, text), "{query:?} in {text:?}");
        }
    }

    #[test]
    fn case_and_accents_do_not_matter() {
        for (query, text) in [
            ("cafe", "Café"),
            ("CAFÉ", "cafe\u{301}s"),
            ("strasse", "Hauptstraße"),
            ("straße", "STRASSE"),
            ("ÉTÉ", "e\u{301}te\u{301}"),
            ("葛城", "葛\u{E0100}城さん"),
            ("diyarbakir", "Diyarbakır'da"),
            ("ISPARTA", "ısparta"),
            ("علي", "علی"),
            ("don't", "I don’t know"),
            ("O’Reilly", "O'Reilly"),
            ("2020-2026", "2020–2026"),
        ] {
            assert!(found(query, text), "{query:?} in {text:?}");
        }
    }

    #[test]
    fn punctuation_in_a_query_is_looked_for() {
        for (query, text) in [
            ("C++", "I like c++, really"),
            ("c++", "用C++写"),
            ("C#", "C# and F#"),
            (".NET", "the .net framework"),
            ("node.js", "Node.js!"),
            ("foo_bar", "call foo_bar()"),
            ("a-b", "x a-b y"),
            (":)", "fine :)"),
            ("@ann", "hi @ann"),
            ("https://x.org/a?b=1", "see https://x.org/a?b=1"),
            ("\"quoted\"", "so \"quoted\""),
        ] {
            assert!(found(query, text), "{query:?} in {text:?}");
        }
        for (query, text) in [
            ("C++", "a C compiler"),
            ("C++", "abc++"),
            ("C#", "C major"),
            (".NET", "the net"),
            ("node.js", "node and js"),
            ("a-b", "a b"),
        ] {
            assert!(!found(query, text), "{query:?} in {text:?}");
        }
    }

    #[test]
    fn scripts_without_spaces_are_found_anywhere() {
        for (query, text) in [
            ("北京", "我爱北京天安门"),
            ("京", "北京"),
            ("北京 我爱", "我爱北京"),
            ("用Rust写", "用 Rust 写的"),
            ("你好，世界", "你好，世界！"),
            ("🎉", "party 🎉🎉"),
            ("서울", "서울에서"),
        ] {
            assert!(found(query, text), "{query:?} in {text:?}");
        }
        for (query, text) in [("京北", "北京"), ("爱天", "我爱北京天安门"), ("你好，世界", "你好世界")]
        {
            assert!(!found(query, text), "{query:?} in {text:?}");
        }
        assert!(SearchQuery::parse(" \t ").is_empty());
    }

    #[test]
    fn expressions_hold_only_tokens() {
        let expression = |query| {
            let expression = SearchQuery::parse(query).expression();
            expression.map(|text| text.replace(START, "<").replace(WHOLE, "="))
        };
        assert_eq!(
            expression("hello 北京人 好").as_deref(),
            Some("\"hell\" AND \"ello\" AND \"北京\" AND \"京人\" AND \"好\"")
        );
        assert_eq!(expression("C++ go").as_deref(), Some("\"=c\" AND \"<go\""));
        assert_eq!(
            expression("a\"b OR node.js").as_deref(),
            Some("\"=a\" AND \"<b\" AND \"<or\" AND \"node\" AND \"<js\"")
        );
        assert_eq!(expression("?! ++"), None);
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::char::range('a', 'd'),
            proptest::sample::select(vec![
                ' ', '+', '.', '#', '-', 'É', 'ß', '北', '京', '写', 'が', '🎉', '，', '7'
            ]),
        ];
        proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.into_iter().collect())
    }

    proptest! {
        /// The index may return too many messages, and never too few. Queries are parts of the text, because random ones hardly ever
        /// match.
        #[test]
        fn every_text_that_matches_has_the_tokens_of_the_query(text in text(), at in 0..14_usize, length in 1..8_usize) {
            let part: String = text.chars().skip(at).take(length).collect();
            let query = SearchQuery::parse(&part.to_uppercase());
            if query.matches(&text) && let Some(expression) = query.expression() {
                let mut tokens_of_text = String::new();
                tokens(&text, &mut tokens_of_text);
                let tokens: Vec<&str> = tokens_of_text.split(' ').collect();
                for needle in expression.split(" AND ") {
                    let needle = needle.trim_matches('"');
                    prop_assert!(tokens.contains(&needle), "{:?} of {:?} in {:?}", needle, query, text);
                }
            }
        }

        #[test]
        fn a_part_of_a_text_that_begins_a_word_is_found(text in text(), at in 0..14_usize, length in 1..6_usize) {
            let folded = fold(&text);
            let start: Vec<char> = folded.chars().skip(at).take(length).collect();
            let before = at.checked_sub(1).and_then(|before| folded.chars().nth(before));
            if before.is_none_or(|before| classify(before) != Class::Letter) {
                let query: String = start.into_iter().collect();
                prop_assert!(SearchQuery::parse(&query).matches(&text), "{:?} in {:?}", query, text);
            }
        }
    }
}
