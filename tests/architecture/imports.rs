//! Which file names items of which other file.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use syn::{Attribute, Item, UseTree, Visibility, visit::Visit};

type Path_ = Vec<String>;

/// The files of the crate and the names by which they know each other.
pub(crate) struct Imports {
    /// By module: what its file says in full (`crate::…`) of modules, and of other crates.
    named: BTreeMap<Path_, Vec<Path_>>,
    outside: Vec<(String, String)>,
    edges: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Imports {
    /// Reads `src/`.
    pub(crate) fn of_src() -> Self {
        let files = sources();
        let modules: BTreeSet<Path_> = files.iter().map(|(module, _)| module.clone()).collect();
        let mut imports = Self {
            named: BTreeMap::new(),
            outside: Vec::new(),
            edges: BTreeMap::new(),
        };
        let mut passed_on = HashMap::new();
        for (module, text) in files {
            let mut file = File {
                module: &module,
                modules: &modules,
                named: Vec::new(),
                passed_on: &mut passed_on,
                outside: Vec::new(),
            };
            file.visit_file(&syn::parse_file(&text).unwrap());
            let outside = file.outside.into_iter().map(|path| (name(&module), path.join("::")));
            imports.outside.extend(outside);
            imports.named.insert(module.clone(), file.named);
        }
        for (module, named) in &imports.named {
            for path in named {
                if let Some(file) = defining(path, &modules, &passed_on, 0)
                    && file != *module
                {
                    let names = imports.edges.entry((name(module), name(&file))).or_default();
                    names.insert(path.join("::"));
                }
            }
        }
        imports
    }

    /// Which file knows which, by what names.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (&str, &str, &BTreeSet<String>)> {
        let edges = self.edges.iter();
        edges
            .map(|((from, to), names)| (from.as_str(), to.as_str(), names))
            .filter(|(from, ..)| *from != "lib")
    }

    /// What files name of other crates.
    pub(crate) fn outside(&self) -> impl Iterator<Item = (&str, &str)> {
        self.outside.iter().map(|(file, path)| (file.as_str(), path.as_str()))
    }
}

/// Groups of files in which each one leads to each other one.
pub(crate) fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to, _) in imports.edges() {
        next.entry(from).or_default().push(to);
        next.entry(to).or_default();
    }
    let reached = |start| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = next[start].clone();
        while let Some(file) = open.pop() {
            if seen.insert(file) {
                open.extend(&next[file]);
            }
        }
        seen
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reached(*file))).collect();
    let mut circles = BTreeSet::new();
    for (file, seen) in &reach {
        let circle: Vec<String> = seen
            .iter()
            .filter(|other| reach[**other].contains(file))
            .map(|other| (*other).to_owned())
            .collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// The modules of `src/` and their text, without tests.
pub(crate) fn sources() -> Vec<(Path_, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(Path_, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if ["tests", "testing", "properties", "bench", "main"].contains(&stem) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).unwrap().with_extension("");
            let mut module: Path_ = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            if ["mod", "lib"].contains(&stem) {
                module.pop();
            }
            files.push((module, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn name(module: &[String]) -> String {
    if module.is_empty() {
        "lib".to_owned()
    } else {
        module.join("/")
    }
}

/// The file that defines what this path names: the longest module in it, or where that module has the name from.
fn defining(
    path: &[String],
    modules: &BTreeSet<Path_>,
    passed_on: &HashMap<(Path_, String), Path_>,
    depth: usize,
) -> Option<Path_> {
    let length = (0..=path.len())
        .rev()
        .find(|length| modules.contains(&path[..*length]))?;
    let module = path[..length].to_vec();
    let Some(item) = path.get(length) else {
        return Some(module);
    };
    match passed_on.get(&(module.clone(), item.clone())) {
        Some(from) if depth < 8 && from[..] != path[..=length] => defining(from, modules, passed_on, depth + 1),
        _ => Some(module),
    }
}

struct File<'a> {
    module: &'a Path_,
    modules: &'a BTreeSet<Path_>,
    named: Vec<Path_>,
    passed_on: &'a mut HashMap<(Path_, String), Path_>,
    outside: Vec<Path_>,
}

impl File<'_> {
    /// The path from the crate's root; `None` for what another crate or this file defines.
    fn absolute(&self, path: &[String]) -> Option<Path_> {
        let first = path.first()?;
        let mut base = self.module.clone();
        let mut rest = path;
        match first.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child => {
                let mut module = base.clone();
                module.push(child.to_owned());
                if !self.modules.contains(&module) {
                    return None;
                }
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    fn note(&mut self, path: Path_) {
        match self.absolute(&path) {
            Some(path) => self.named.push(path),
            None => self.outside.push(path),
        }
    }
}

impl<'ast> Visit<'ast> for File<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_test) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        for (path, name) in leaves {
            if matches!(item.vis, Visibility::Inherited) {
                self.note(path);
            } else if let Some(from) = self.absolute(&path) {
                self.passed_on.insert((self.module.clone(), name), from);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Path_ = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if parts.len() > 1 {
            self.note(parts);
        }
        syn::visit::visit_path(self, path);
    }
}

fn is_test(attribute: &Attribute) -> bool {
    let list = attribute.meta.require_list();
    attribute.path().is_ident("cfg") && list.is_ok_and(|list| list.tokens.to_string().contains("test"))
}

/// Each name of a `use`, with its path.
fn flatten(tree: &UseTree, base: &mut Path_, leaves: &mut Vec<(Path_, String)>) {
    let mut leaf = |last: &str, name: &str| {
        let mut path = base.clone();
        if last != "self" {
            path.push(last.to_owned());
        }
        leaves.push((path, name.to_owned()));
    };
    match tree {
        UseTree::Path(path) => {
            base.push(path.ident.to_string());
            flatten(&path.tree, base, leaves);
            base.pop();
        }
        UseTree::Name(name) => leaf(&name.ident.to_string(), &name.ident.to_string()),
        UseTree::Rename(rename) => leaf(&rename.ident.to_string(), &rename.rename.to_string()),
        UseTree::Glob(_) => leaf("self", "*"),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, base, leaves);
            }
        }
    }
}
