//! The reader of tree-sitter, which editors use.

use tree_sitter::{Node, Parser};

use crate::names::unquoted;

/// Returns the names of simple commands; `None` if it cannot make sense of the whole text.
pub(crate) fn names(text: &str) -> Option<Vec<String>> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).unwrap();
    let tree = parser.parse(text, None).unwrap();
    let mut names = Vec::new();
    if tree.root_node().has_error() {
        return None;
    }
    in_node(tree.root_node(), text, &mut names);
    Some(names)
}

fn in_node(node: Node<'_>, text: &str, names: &mut Vec<String>) {
    if node.kind() == "command_name" {
        names.extend(unquoted(&text[node.byte_range()]));
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        in_node(child, text, names);
    }
}
