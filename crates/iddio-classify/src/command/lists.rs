//! Lists of names that catalogs refer to, one name a line, sorted.

use std::sync::LazyLock;

/// Whether `list` holds `name`, or a name that starts with it.
pub(super) fn holds_or_extends(list: &str, name: &str) -> bool {
    let names = match list {
        "aws-read-parameters" => &*AWS_READ_PARAMETERS,
        _ => return false,
    };
    let place = names.partition_point(|known| *known < name);
    names.get(place).is_some_and(|known| known.starts_with(name))
}

static AWS_READ_PARAMETERS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    include_str!("../../../../policies/catalog/aws-read-parameters.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect()
});
