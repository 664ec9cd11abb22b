//! What results from a change to an object that is there: the object and the change, put together.
//!
//! A patch says what it changes, not what comes of it: a new image for a container that is privileged
//! already runs in a privileged container. So a change to an object that holds pods is judged by the
//! object that results as well (product contract, section 2).
//!
//! INVARIANT: where it is not certain what the server makes of a change, the result holds everything
//! that was there and everything that the change says, so it is never judged less than what comes.
//! A JSON patch and a JSON merge patch are followed exactly; of a strategic merge patch and of an apply
//! the lists are joined by the names of their elements, or else put one behind the other, and what they
//! say about removing is not followed.
//!
//! What this does not do: fetch the object, or hold it still. It may change before the patch reaches it.

use serde_json::{Map, Value};

use super::{
    Verdict,
    content::Content,
    pod::{self, Scene, Seen},
};
use iddio_core::tier::Tier;

/// Returns what the object that results raises.
pub(super) fn raised(content: &Content, current: &Value) -> Vec<Verdict> {
    let result = result(content, current);
    let before = pod::seen(current, Scene::Whole);
    let after = pod::seen(&result, Scene::Whole);
    let full = pod::FOUND_MAX <= before.len() || pod::FOUND_MAX <= after.len();
    let mut left: Vec<_> = before.iter().collect();
    let mut raised = Vec::new();
    for seen in &after {
        let kept = left.iter().position(|other| *other == seen);
        // What was there and stays is no change, but where it gives the host to whatever else changed.
        let counts = match kept {
            None => true,
            Some(at) => {
                let _ = left.swap_remove(at);
                full || gives_the_host(seen)
            }
        };
        if counts {
            raised.push(seen.found.verdict);
        }
    }
    raised
}

/// Whether it makes a container one of the host, whoever put it there. Where the scheduler put a pod, and
/// what was added to a running one, is only what is so.
fn gives_the_host(seen: &Seen<'_>) -> bool {
    let path = seen.found.path.rsplit('.').next().unwrap_or_default();
    let state = ["nodename", "ephemeralcontainers"];
    seen.found.verdict.tier == Tier::BreakGlass
        && !state.iter().any(|name| path.eq_ignore_ascii_case(name))
}

/// Returns the object that results.
fn result(content: &Content, current: &Value) -> Value {
    let mut object = current.clone();
    match content {
        Content::Apply(change) | Content::Object(change) => {
            join(&mut object, change, "", Nulls::Stay)
        }
        Content::JsonPatch(operations) => {
            if follow(&mut object, operations).is_none() {
                // The server refuses it, or takes it otherwise; what it says is judged by itself.
                object = current.clone();
            }
        }
        Content::MergePatch(change) => merge(&mut object, change),
        Content::StrategicPatch(change) => join(&mut object, change, "", Nulls::Remove),
        Content::Empty | Content::Opaque => {}
    }
    object
}

/// What `null` does.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Nulls {
    /// It takes a member away.
    Remove,
    /// It says nothing.
    Stay,
}

/// A JSON merge patch (RFC 7386).
fn merge(object: &mut Value, change: &Value) {
    let Some(changes) = change.as_object() else {
        *object = change.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(members) = object.as_object_mut() else { return };
    for (name, change) in changes {
        match change {
            Value::Null => {
                let _ = members.remove(name);
            }
            change => merge(members.entry(name.as_str()).or_insert(Value::Null), change),
        }
    }
}

/// Joins a change with what is there, so that nothing of either is missing but what `null` takes away.
fn join(object: &mut Value, change: &Value, name: &str, nulls: Nulls) {
    match (object, change) {
        (Value::Object(members), Value::Object(changes)) => {
            for (name, change) in changes.iter().filter(|(name, _)| !name.starts_with('$')) {
                match change {
                    Value::Null if nulls == Nulls::Remove => {
                        let _ = members.remove(name);
                    }
                    Value::Null => {}
                    change => {
                        let own = members.entry(name.as_str()).or_insert(Value::Null);
                        join(own, change, name, nulls);
                    }
                }
            }
        }
        (Value::Array(items), Value::Array(changes)) => join_lists(items, changes, name, nulls),
        (object, change) => *object = plain(change),
    }
}

fn join_lists(items: &mut Vec<Value>, changes: &[Value], name: &str, nulls: Nulls) {
    let looks = (items.len() + changes.len()).saturating_mul(changes.len());
    let key = KEYS.iter().find(|(list, _)| *list == name && looks <= LOOKS_MAX);
    let key = key.map(|(_, key)| *key);
    for change in changes {
        let own = key.and_then(|key| change.get(key).map(|value| (key, value)));
        let same = own.and_then(|(key, value)| {
            // Of two alike nobody knows which is meant: the change then stands behind both.
            let mut alike = items.iter_mut().filter(|item| item.get(key) == Some(value));
            alike.next().filter(|_| alike.next().is_none())
        });
        match same {
            Some(item) => join(item, change, name, nulls),
            None => items.push(plain(change)),
        }
    }
}

/// What a change puts where nothing was: without what it says about itself.
fn plain(change: &Value) -> Value {
    match change {
        Value::Object(members) => {
            let kept =
                members.iter().filter(|(name, value)| !name.starts_with('$') && !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(plain).collect()),
        value => value.clone(),
    }
}

/// Follows a JSON patch (RFC 6902), or returns `None` where it cannot be followed. What moves or copies
/// is not: it is break-glass by itself.
fn follow(object: &mut Value, operations: &Value) -> Option<()> {
    let operations = operations.as_array().filter(|all| all.len() <= FOLLOWED_MAX)?;
    for operation in operations {
        let pointer = operation.get("path")?.as_str()?;
        let value = operation.get("value");
        let Some((parent, last)) = pointer.rsplit_once('/') else {
            match (operation.get("op")?.as_str()?, pointer) {
                ("add" | "replace", "") => *object = value?.clone(),
                ("test", "") => (object == value?).then_some(())?,
                _ => return None,
            }
            continue;
        };
        let last = last.replace("~1", "/").replace("~0", "~");
        let parent = object.pointer_mut(parent)?;
        match operation.get("op")?.as_str()? {
            "add" => add(parent, &last, value?.clone())?,
            "remove" => remove(parent, &last)?,
            "replace" => {
                remove(parent, &last)?;
                add(parent, &last, value?.clone())?;
            }
            "test" => (child(parent, &last)? == value?).then_some(())?,
            _ => return None,
        }
    }
    Some(())
}

fn add(parent: &mut Value, name: &str, value: Value) -> Option<()> {
    match parent {
        Value::Object(members) => {
            let _ = members.insert(name.to_owned(), value);
        }
        Value::Array(items) => {
            let at = if name == "-" { items.len() } else { index(name)? };
            (at <= items.len() && items.len() < ITEMS_MAX).then_some(())?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(parent: &mut Value, name: &str) -> Option<()> {
    match parent {
        Value::Object(members) => members.remove(name).map(drop),
        Value::Array(items) => {
            let at = index(name).filter(|at| *at < items.len() && items.len() <= ITEMS_MAX)?;
            let _ = items.remove(at);
            Some(())
        }
        _ => None,
    }
}

fn child<'a>(parent: &'a Value, name: &str) -> Option<&'a Value> {
    match parent {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(index(name)?),
        _ => None,
    }
}

/// An index as RFC 6901 writes one: digits, and no zero before them.
fn index(name: &str) -> Option<usize> {
    let sound = name == "0" || !name.starts_with('0') && !name.starts_with('+');
    name.parse().ok().filter(|_| sound)
}

/// By which member elements of a list are the same: what lists of a pod are merged by.
const KEYS: [(&str, &str); 7] = [
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

/// The most operations of a JSON patch that are followed: people write a few dozen.
const FOLLOWED_MAX: usize = 1_000;

/// The longest list that a JSON patch is followed into: each operation moves what stands behind it.
const ITEMS_MAX: usize = 10_000;

/// How often elements are compared by name, at most, before two lists are put one behind the other.
const LOOKS_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_json_patch_is_followed_as_its_definition_says() {
        let object = json!({"a": {"b/c": [1, 2, 3]}, "d": "e"});
        let table = [
            (
                json!([{"op": "add", "path": "/a/b~1c/1", "value": 9}]),
                Some(json!({"a": {"b/c": [1, 9, 2, 3]}, "d": "e"})),
            ),
            (
                json!([{"op": "add", "path": "/a/b~1c/-", "value": 9}]),
                Some(json!({"a": {"b/c": [1, 2, 3, 9]}, "d": "e"})),
            ),
            (
                json!([{"op": "remove", "path": "/a/b~1c/0"}]),
                Some(json!({"a": {"b/c": [2, 3]}, "d": "e"})),
            ),
            (
                json!([{"op": "replace", "path": "/d", "value": null}]),
                Some(json!({"a": {"b/c": [1, 2, 3]}, "d": null})),
            ),
            (
                json!([{"op": "test", "path": "/d", "value": "e"}, {"op": "remove", "path": "/a"}]),
                Some(json!({"d": "e"})),
            ),
            (json!([{"op": "replace", "path": "", "value": {}}]), Some(json!({}))),
            (json!([{"op": "test", "path": "/d", "value": "f"}]), None),
            (json!([{"op": "remove", "path": "/x"}]), None),
            (json!([{"op": "replace", "path": "/x", "value": 1}]), None),
            (json!([{"op": "add", "path": "/a/b~1c/7", "value": 1}]), None),
            (json!([{"op": "add", "path": "/a/b~1c/01", "value": 1}]), None),
            (json!([{"op": "add", "path": "/x/y", "value": 1}]), None),
            (json!([{"op": "copy", "path": "/x", "from": "/a"}]), None),
        ];
        for (operations, expected) in table {
            let mut result = object.clone();
            let followed = follow(&mut result, &operations).map(|()| result);
            assert_eq!(followed, expected, "{operations}");
        }
    }

    #[test]
    fn a_merge_patch_is_followed_as_its_definition_says() {
        let table = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": {"b": null}}), json!({"a": {}})),
        ];
        for (mut object, change, expected) in table {
            merge(&mut object, &change);
            assert_eq!(object, expected, "{change}");
        }
    }

    #[test]
    fn what_would_take_long_is_not_followed_and_loses_nothing() {
        let add = json!({"op": "add", "path": "/a/0", "value": 1});
        let mut object = json!({"a": []});
        assert_eq!(follow(&mut object, &json!(vec![&add; FOLLOWED_MAX])), Some(()));
        assert_eq!(follow(&mut object, &json!(vec![&add; FOLLOWED_MAX + 1])), None);
        let mut long = json!({"a": vec![0; ITEMS_MAX]});
        assert_eq!(follow(&mut long, &json!([add])), None);
        let many: Vec<_> = (0..2_000).map(|at| json!({"name": at})).collect();
        let mut object = json!({ "containers": many });
        let change = object.clone();
        join(&mut object, &change, "", Nulls::Remove);
        assert_eq!(object["containers"].as_array().map(Vec::len), Some(4_000));
    }

    #[test]
    fn a_strategic_patch_loses_nothing_that_was_there_or_is_said() {
        let mut object =
            json!({"containers": [{"name": "a", "image": "x"}, {"name": "b"}], "add": ["A"]});
        let change = json!({
            "$setElementOrder/containers": [{"name": "b"}],
            "containers": [{"name": "a", "image": "y"}, {"name": "c", "$patch": "delete"}],
            "add": ["B"], "gone": null,
        });
        join(&mut object, &change, "", Nulls::Remove);
        let expected = json!({
            "containers": [{"name": "a", "image": "y"}, {"name": "b"}, {"name": "c"}], "add": ["A", "B"]});
        assert_eq!(object, expected);
    }
}
