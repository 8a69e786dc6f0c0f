//! Who uses whom among the modules of a crate, and the circles in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    module::{self, Module, Name},
    paths,
};

/// Re-exports that a path may pass through.
const MOST_EXPORTS: usize = 16;

/// The modules of a crate with those that each of them uses.
pub struct Graph {
    uses: BTreeMap<Name, BTreeSet<Name>>,
}

impl Graph {
    /// Reads the crate whose root is `lib.rs` or `main.rs`.
    ///
    /// # Panics
    /// A file that is not there or is no Rust.
    pub fn read(root: &Path) -> Self {
        let modules = module::read(root);
        let uses = modules.iter().map(|(name, module)| {
            let mut used: BTreeSet<Name> =
                paths::of(module).iter().filter_map(|path| target(&modules, name, path, MOST_EXPORTS)).collect();
            used.remove(name);
            (name.clone(), used)
        });
        Self { uses: uses.collect() }
    }

    /// Every set of modules that use each other, in a line each.
    pub fn circles(&self) -> Vec<String> {
        let reach: BTreeMap<&Name, BTreeSet<&Name>> = self.uses.keys().map(|name| (name, self.reach(name))).collect();
        let mut circles = BTreeSet::new();
        for (name, reached) in &reach {
            let circle: Vec<String> = reached
                .iter()
                .filter(|other| reach.get(*other).is_some_and(|back| back.contains(name)))
                .map(|other| format!("crate::{}", other.join("::")))
                .collect();
            if circle.len() > 1 {
                circles.insert(circle.join(", "));
            }
        }
        circles.into_iter().collect()
    }

    fn reach(&self, from: &Name) -> BTreeSet<&Name> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(name) = open.pop() {
            for next in self.uses.get(name).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    }
}

/// The module that a path of `module` leads to, if that is one of this crate.
fn target(modules: &BTreeMap<Name, Module>, module: &Name, path: &[String], exports: usize) -> Option<Name> {
    let mut rest = path.iter().map(String::as_str).peekable();
    let mut at: Name = match *rest.peek()? {
        "crate" => {
            rest.next();
            Vec::new()
        }
        "self" if path.len() > 1 => {
            rest.next();
            module.clone()
        }
        "super" => {
            let mut at = module.clone();
            while rest.next_if_eq(&"super").is_some() {
                at.pop()?;
            }
            at
        }
        first if path.len() > 1 && modules.get(module)?.children.contains(first) => module.clone(),
        _ => return None,
    };
    while let Some(&step) = rest.peek() {
        if !modules.get(&at)?.children.contains(step) {
            break;
        }
        at.push(step.to_owned());
        rest.next();
    }
    let (Some(item), true) = (rest.next(), exports > 0) else { return Some(at) };
    let exported = modules.get(&at)?.exports.iter().find(|(name, _)| name == item);
    match exported.and_then(|(_, path)| target(modules, &at, path, exports - 1)) {
        Some(definition) => Some(definition),
        None => Some(at),
    }
}
