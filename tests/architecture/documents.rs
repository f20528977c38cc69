//! Every path and every identifier in backticks in ARCHITECTURE.md exists.

use std::{collections::HashSet, fs, path::Path};

#[test]
fn paths_and_names_in_the_architecture_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let mut sources = String::new();
    for folder in ["src", "tests", "benches", "loadtest"] {
        collect(&root.join(folder), &mut sources);
    }
    let names: HashSet<&str> = sources
        .split(|char: char| !(char.is_alphanumeric() || char == '_'))
        .collect();
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
        is_simple
            && (word.contains('/') && !word.starts_with('/') || word.starts_with(|char: char| char.is_uppercase()))
    })
}

fn collect(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
