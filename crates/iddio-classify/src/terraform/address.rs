//! Addresses of resource instances and of providers, read strictly.
//!
//! Terraform prints one spelling of each; any other spelling is refused rather than understood.

use std::fmt;

/// Whose life a resource's block manages.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Mode {
    /// `data`: read.
    Data,
    /// `ephemeral`: opened and closed, never stored.
    Ephemeral,
    /// `resource`: made, changed and deleted.
    Managed,
}

/// Which of the instances of a resource.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Key {
    /// The only one.
    None,
    /// One of `count`.
    Index(u64),
    /// One of `for_each`.
    Name(String),
}

/// The address of a resource instance.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// The module's address, empty for the root.
    pub module: String,
    /// Whose life is managed.
    pub mode: Mode,
    /// The resource type, such as `aws_instance`.
    pub kind: String,
    /// The name in the configuration.
    pub name: String,
    /// Which instance.
    pub key: Key,
}

/// The address of a provider, without its alias or module.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProviderAddress(String);

struct Reader<'a>(&'a str);

// === impl Address ===

impl Address {
    /// Reads the spelling Terraform prints.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader(text);
        let mut module_end = 0_usize;
        loop {
            let before = reader.0;
            let word = reader.name()?;
            if word != "module" {
                reader.0 = before;
                break;
            }
            reader.dot()?;
            reader.name()?;
            reader.key()?;
            module_end = text.len().checked_sub(reader.0.len())?;
            reader.dot()?;
        }
        let mut kind = reader.name()?;
        let mode = match kind {
            "data" => Mode::Data,
            "ephemeral" => Mode::Ephemeral,
            _ => Mode::Managed,
        };
        if mode != Mode::Managed {
            reader.dot()?;
            kind = reader.name()?;
        }
        reader.dot()?;
        let name = reader.name()?;
        let key = reader.key()?;
        reader.0.is_empty().then(|| Self {
            module: text.get(..module_end).unwrap_or_default().to_owned(),
            mode,
            kind: kind.to_owned(),
            name: name.to_owned(),
            key,
        })
    }
}

// === impl ProviderAddress ===

impl ProviderAddress {
    /// Reads `[module.NAME.]provider["HOST/NAMESPACE/TYPE"][.ALIAS]`, as plans and states write it.
    pub fn parse_configuration(text: &str) -> Option<Self> {
        let start = text.find("provider[\"")?;
        let (before, rest) = text.split_at_checked(start)?;
        let mut reader = Reader(before);
        while !reader.0.is_empty() {
            (reader.name()? == "module").then_some(())?;
            reader.dot()?;
            reader.name()?;
            reader.key()?;
            reader.dot()?;
        }
        let (source, after) = rest.strip_prefix("provider[\"")?.split_once("\"]")?;
        if !after.is_empty() {
            let mut alias = Reader(after);
            alias.dot()?;
            alias.name()?;
            alias.0.is_empty().then_some(())?;
        }
        (source.split('/').count() == 3).then_some(())?;
        Self::parse_source(source)
    }

    /// Reads `[[HOST/]NAMESPACE/]TYPE`, as configurations write it.
    pub fn parse_source(text: &str) -> Option<Self> {
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty() || !part.bytes().all(plain)) {
            return None;
        }
        let full = match parts.as_slice() {
            ["terraform"] => BUILT_IN.to_owned(),
            [kind] => format!("{DEFAULT_HOST}/hashicorp/{kind}"),
            [namespace, kind] => format!("{DEFAULT_HOST}/{namespace}/{kind}"),
            [_, _, _] => text.to_owned(),
            _ => return None,
        };
        Some(Self(full.to_ascii_lowercase()))
    }

    /// Returns the full address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reports whether it is compiled into the program, so that nothing needs to be installed.
    pub fn origin(&self) -> Origin {
        if self.0 == BUILT_IN { Origin::BuiltIn } else { Origin::Installed }
    }
}

/// Where a provider's program comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// It is part of Terraform.
    BuiltIn,
    /// It is a program of its own.
    Installed,
}

impl fmt::Display for ProviderAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn name(&mut self) -> Option<&'a str> {
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let length = self.0.find(|c| !part(c)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at_checked(length)?;
        let first = name.chars().next()?;
        if first.is_ascii_digit() || first == '-' {
            return None;
        }
        self.0 = rest;
        Some(name)
    }

    fn dot(&mut self) -> Option<()> {
        self.0 = self.0.strip_prefix('.')?;
        Some(())
    }

    fn key(&mut self) -> Option<Key> {
        let Some(rest) = self.0.strip_prefix('[') else { return Some(Key::None) };
        if let Some(quoted) = rest.strip_prefix('"') {
            let (name, rest) = unquote(quoted)?;
            self.0 = rest.strip_prefix(']')?;
            return Some(Key::Name(name));
        }
        let (digits, rest) = rest.split_once(']')?;
        let canonical = digits == "0" || !digits.starts_with('0');
        let number = digits.bytes().all(|byte| byte.is_ascii_digit());
        (canonical && number).then_some(())?;
        self.0 = rest;
        digits.parse().ok().map(Key::Index)
    }
}

/// Decodes a quoted key, and returns what follows its closing quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut decoded = String::new();
    let mut rest = text;
    loop {
        let c = rest.chars().next()?;
        let after = rest.get(c.len_utf8()..)?;
        rest = match c {
            '"' => return Some((decoded, after)),
            '\\' => {
                let (c, after) = escaped(after)?;
                decoded.push(c);
                after
            }
            '$' | '%' if after.starts_with('{') => return None,
            '$' | '%' if after.starts_with(c) && after.get(1..)?.starts_with('{') => {
                decoded.push(c);
                decoded.push('{');
                after.get(2..)?
            }
            c if c < ' ' => return None,
            c => {
                decoded.push(c);
                after
            }
        };
    }
}

fn escaped(text: &str) -> Option<(char, &str)> {
    let c = text.chars().next()?;
    let after = text.get(c.len_utf8()..)?;
    let width = match c {
        'n' => return Some(('\n', after)),
        'r' => return Some(('\r', after)),
        't' => return Some(('\t', after)),
        '"' | '\\' => return Some((c, after)),
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let (digits, after) = after.split_at_checked(width)?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    Some((char::from_u32(code)?, after))
}

/// The provider of `terraform_data`.
const BUILT_IN: &str = "terraform.io/builtin/terraform";

/// The registry a source without a host means. (OpenTofu's is another; trust matches both.)
const DEFAULT_HOST: &str = "registry.terraform.io";
