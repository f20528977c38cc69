//! Every path and every identifier in backticks in ARCHITECTURE.md exists.

use std::{collections::HashSet, fs, path::Path};

use crate::imports::sources;

#[test]
fn paths_and_names_in_the_architecture_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let sources = sources();
    let words = sources
        .iter()
        .flat_map(|(_, text)| text.split(|char: char| !(char.is_alphanumeric() || char == '_')));
    let names: HashSet<&str> = words.collect();
    let is_known = |word: &str| match word.contains('/') {
        true => root.join(word).exists() || root.join("src").join(word).exists(),
        false => word.split("::").all(|name| names.contains(name)),
    };
    let missing: Vec<&str> = quoted(&text).filter(|word| !is_known(word)).collect();
    assert_eq!(missing, [""; 0]);
}

/// The words in backticks that look like a path or like a Rust type or path.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let words = text
        .split("```")
        .step_by(2)
        .flat_map(|prose| prose.split('`').skip(1).step_by(2));
    words.filter(|word| {
        let is_simple = word
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || "_/.:".contains(char));
        let is_path = word.contains('/') && !word.starts_with('/');
        is_simple && (is_path || word.contains("::") || word.starts_with(|char: char| char.is_uppercase()))
    })
}
