//! The paths that the code of a module follows.

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Item, ItemUse, Macro, Visibility,
    visit::{self, Visit},
};

use super::module::{Module, flatten, is_test};

/// Every path of a module's code, as written, but for re-exports.
pub fn of(module: &Module) -> Vec<Vec<String>> {
    let mut paths = Paths::default();
    module.items.iter().for_each(|item| paths.visit_item(item));
    paths.0
}

#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if matches!(item.vis, Visibility::Inherited) {
            let mut names = Vec::new();
            flatten(&item.tree, &mut Vec::new(), &mut names);
            self.0.extend(names.into_iter().map(|(_, path)| path));
        }
    }

    /// Who may see an item is no use of it.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast Macro) {
        self.visit_path(&invoked.path);
        self.tokens(invoked.tokens.clone());
    }
}

impl Paths {
    /// Paths among the tokens of a macro's arguments, which are no syntax tree.
    fn tokens(&mut self, stream: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in stream {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.0.push(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.0.push(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.0.push(path);
    }
}
