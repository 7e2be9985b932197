//! Names, tags and digests of images.

use std::rc::Rc;

use gitops_core::yaml::node::{Content, Kind, Node, NodeId, Tree};

use super::error::{Result, transform};
use super::fields::{self, ByKind, Create, FieldSpec};
use super::file::Image;
use super::object::Object;
use super::objects::Objects;
use crate::re2::Re2;

/// Applies images, one after the other, to the objects at `places`.
pub(super) fn set_images(
    objects: &mut Objects,
    images: &[Image],
    specs: &[FieldSpec],
    places: &[usize],
) -> Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    let patterns: Vec<Pattern<'_>> = images.iter().map(Pattern::new).collect::<Result<_>>()?;
    let may_rename = specs.iter().any(FieldSpec::may_rename);
    let mut by_kind = ByKind::new(specs);
    for &at in places {
        let gvk = &objects.get(at).id.gvk;
        if gvk.kind == "CustomResourceDefinition" {
            continue;
        }
        let specs = by_kind.of(gvk);
        let set = |object: &mut Object| {
            // Images change texts only, so that the places of the first are
            // those of all.
            let mut found = Vec::new();
            let root = object.tree.root();
            find_in_containers(&object.tree, root, &mut found)?;
            for spec in specs.iter() {
                fields::visit(
                    &mut object.tree,
                    &object.id.gvk,
                    &object.id,
                    spec,
                    Create::Nothing,
                    &mut |tree, node| {
                        fields::demand(tree, node, Kind::Scalar)?;
                        found.push(node);
                        Ok(())
                    },
                )?;
            }
            for (image, pattern) in images.iter().zip(&patterns) {
                for node in &found {
                    let Some(text) = object.tree.text(*node) else {
                        continue;
                    };
                    if pattern.is_match(text) {
                        let renamed = renamed(text, image);
                        fields::set_scalar(&mut object.tree, *node, Node::scalar(renamed))?;
                    }
                }
            }
            Ok(())
        };
        match may_rename {
            true => objects.change(at, set)?,
            false => objects.write(at, set)?,
        }
    }
    Ok(())
}

/// The pattern that Kustomize makes of an image's name: a regular expression,
/// in which dots stand for anything.
enum Pattern<'i> {
    /// A name without other signs that mean something. Most are, and compiling
    /// an expression takes longer than setting the images of a small build.
    Plain(&'i str),
    Expression(Rc<Re2>),
}

impl<'i> Pattern<'i> {
    fn new(image: &'i Image) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.:-_@".contains(&byte);
        match image.name.bytes().all(plain) {
            true => Ok(Pattern::Plain(&image.name)),
            false => Pattern::expression(&image.name).map(Pattern::Expression),
        }
    }

    fn expression(name: &str) -> Result<Rc<Re2>> {
        let tail = "(:[a-zA-Z0-9_.{}-]*)?(@sha256:[a-zA-Z0-9_.{}-]*)?$";
        Re2::cached(&format!("^{name}{tail}"))
            .map_err(|error| transform(format!("image name {name:?}: {error}")))
    }

    fn is_match(&self, text: &str) -> bool {
        match self {
            Pattern::Plain(name) if text.is_ascii() => is_plain_match(name, text),
            // A dot stands for a character, however many bytes it has.
            Pattern::Plain(name) => Pattern::expression(name)
                .is_ok_and(|expression| expression.regex.is_match(text.as_bytes())),
            Pattern::Expression(expression) => expression.regex.is_match(text.as_bytes()),
        }
    }
}

/// Whether a text is a name, with a tag and a digest or without.
fn is_plain_match(name: &str, text: &str) -> bool {
    let Some((start, rest)) = text.split_at_checked(name.len()) else {
        return false;
    };
    let same = |(wanted, found): (u8, u8)| wanted == found || wanted == b'.' && found != b'\n';
    if !name.bytes().zip(start.bytes()).all(same) {
        return false;
    }
    let version = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '{' | '}' | '-');
    let rest = match rest.strip_prefix(':') {
        Some(tag) => tag.trim_start_matches(version),
        None => rest,
    };
    match rest.strip_prefix("@sha256:") {
        Some(digest) => digest.chars().all(version),
        None => rest.is_empty(),
    }
}

/// The images of all `containers` and `initContainers`, wherever they are.
fn find_in_containers(tree: &Tree, node: NodeId, found: &mut Vec<NodeId>) -> Result<()> {
    match &tree.node(node).content {
        Content::Map(entries) => {
            for (key, value) in entries {
                if tree.kind(*value) == Kind::Scalar {
                    continue;
                }
                find_in_containers(tree, *value, found)?;
                let items = tree.items(*value);
                if items.is_empty()
                    || !matches!(tree.text(*key), Some("containers" | "initContainers"))
                {
                    continue;
                }
                for item in items {
                    fields::demand(tree, *item, Kind::Map)?;
                    if let Some(image) = tree.get(*item, "image") {
                        fields::demand(tree, image, Kind::Scalar)?;
                        found.push(image);
                    }
                }
            }
        }
        Content::List(items) => {
            for item in items {
                find_in_containers(tree, *item, found)?;
            }
        }
        Content::Scalar(_) | Content::Alias(_) => {}
    }
    Ok(())
}

fn renamed(text: &str, image: &Image) -> String {
    let (name, mut tag, mut digest) = split(text);
    let mut name = name.to_owned();
    if !image.new_name.is_empty() {
        name = image.new_name.to_string();
    }
    let suffixed;
    match (!image.new_tag.is_empty(), !image.digest.is_empty()) {
        (true, true) => (tag, digest) = (&image.new_tag, &image.digest),
        (true, false) => (tag, digest) = (&image.new_tag, ""),
        (false, true) => (tag, digest) = ("", &image.digest),
        (false, false) if !image.tag_suffix.is_empty() => {
            suffixed = format!("{tag}{}", image.tag_suffix);
            (tag, digest) = (&suffixed, "");
        }
        (false, false) => {}
    }
    if !tag.is_empty() {
        name.push(':');
        name.push_str(tag);
    }
    if !digest.is_empty() {
        name.push('@');
        name.push_str(digest);
    }
    name
}

/// Name, tag and digest of an image; what comes before the first slash may
/// have a colon of its own.
pub(super) fn split(image: &str) -> (&str, &str, &str) {
    let start = image.find('/').unwrap_or(0);
    let find = |mark: char| image[start..].find(mark).map(|at| start + at);
    match (find('@'), find(':')) {
        (None, None) => (image, "", ""),
        (Some(at), colon) if colon.is_none_or(|colon| at < colon) => {
            (&image[..at], "", &image[at + 1..])
        }
        (Some(at), Some(colon)) => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
        (None, Some(colon)) => (&image[..colon], &image[colon + 1..], ""),
        (Some(at), None) => (&image[..at], "", &image[at + 1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_plain_name_matches_as_its_expression(
            name in "[a.:/@]{0,4}",
            mut text in "[a.:/]{0,3}",
            tail in "(:[a.{}:]{0,2})?(@sha256:[a.:\n]{0,2})?[é\n]?",
        ) {
            text.push_str(&tail);
            let expression = Pattern::expression(&name).expect("nothing in it means anything");
            for text in [&tail, &text, &format!("{name}{tail}")] {
                prop_assert_eq!(
                    Pattern::Plain(&name).is_match(text),
                    expression.regex.is_match(text.as_bytes()),
                    "{:?} {:?}", name, text
                );
            }
        }
    }

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(split("host:5000/app"), ("host:5000/app", "", ""));
        assert_eq!(split("host:5000/app:v1"), ("host:5000/app", "v1", ""));
        assert_eq!(split("app:v1@sha256:ab"), ("app", "v1", "sha256:ab"));
        assert_eq!(split("app@sha256:ab"), ("app", "", "sha256:ab"));
    }
}
