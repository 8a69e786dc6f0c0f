//! The modules of one crate, by the files they are in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::{Item, UseTree, Visibility};

/// Segments from the crate's root, which is empty itself.
pub type Name = Vec<String>;

/// A file.
pub struct Module {
    pub items: Vec<Item>,
    /// Modules declared here, in files of their own or inline.
    pub children: BTreeSet<String>,
    /// Names that `pub use` brings, with their paths as written; `*` under an empty name.
    pub exports: Vec<(String, Vec<String>)>,
}

/// All modules below a crate's `src/`, without those of tests.
pub fn read(root: &Path) -> BTreeMap<Name, Module> {
    let mut modules = BTreeMap::new();
    read_into(root, Vec::new(), &mut modules);
    modules
}

fn read_into(file: &Path, name: Name, modules: &mut BTreeMap<Name, Module>) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let folder = match (name.is_empty(), file.parent(), file.file_stem()) {
        (true, Some(folder), _) => folder.to_owned(),
        (false, Some(folder), Some(stem)) => folder.join(stem),
        _ => panic!("{}: expected a file in a folder", file.display()),
    };
    let items: Vec<Item> = parsed.items.into_iter().filter(|item| !is_test(item)).collect();
    let (mut children, mut exports) = (BTreeSet::new(), Vec::new());
    for item in &items {
        match item {
            Item::Mod(module) => {
                let child = module.ident.to_string();
                if module.content.is_none() {
                    let name = [name.clone(), vec![child.clone()]].concat();
                    read_into(&folder.join(&child).with_extension("rs"), name, modules);
                    children.insert(child);
                }
            }
            Item::Use(item) if !matches!(item.vis, Visibility::Inherited) => {
                flatten(&item.tree, &mut Vec::new(), &mut exports);
            }
            _ => {}
        }
    }
    modules.insert(name, Module { items, children, exports });
}

/// The names that a `use` brings, each with its path.
pub fn flatten(tree: &UseTree, path: &mut Vec<String>, names: &mut Vec<(String, Vec<String>)>) {
    match tree {
        UseTree::Path(step) => {
            path.push(step.ident.to_string());
            flatten(&step.tree, path, names);
            path.pop();
        }
        UseTree::Name(leaf) if leaf.ident == "self" => {
            names.push((path.last().cloned().unwrap_or_default(), path.clone()));
        }
        UseTree::Name(leaf) => {
            let name = leaf.ident.to_string();
            names.push((name.clone(), [path.clone(), vec![name]].concat()));
        }
        UseTree::Rename(leaf) => {
            names.push((leaf.rename.to_string(), [path.clone(), vec![leaf.ident.to_string()]].concat()));
        }
        UseTree::Glob(_) => names.push((String::new(), path.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path, names)),
    }
}

/// Whether an item is compiled for tests only.
pub fn is_test(item: &Item) -> bool {
    let attributes = match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => {
            let condition = list.tokens.to_string();
            list.path.is_ident("cfg") && (condition == "test" || condition == "doctest")
        }
        _ => false,
    })
}
