//! Objects of Kubernetes as YAML for people: blocks, and lists of words in one line.
//!
//! Every scalar is written as JSON writes it, which YAML 1.2 reads alike, so nothing depends on what a
//! plain word means to a reader.

use serde_json::Value;

/// Writes an object.
pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        indent(depth, text);
        text.push_str(name);
        text.push(':');
        match value {
            Value::Object(_) => {
                text.push('\n');
                block(value, depth + 1, text);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                text.push('\n');
                for item in items {
                    let mut inner = String::new();
                    block(item, depth + 2, &mut inner);
                    indent(depth + 1, text);
                    text.push_str("- ");
                    text.push_str(inner.trim_start());
                }
            }
            scalar => {
                text.push(' ');
                text.push_str(&scalar.to_string());
                text.push('\n');
            }
        }
    }
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", depth));
}
