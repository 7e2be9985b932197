//! What an application wants otherwise than its kustomization says: the
//! fields of Argo CD's `spec.source.kustomize`, which there are edits of the
//! file by `kustomize edit`.

use gitops_core::{Str, Value, yaml};

use super::decode::Context;
use super::error::{Error, ErrorKind, Result};
use super::file::{self, Image, Kustomization, Label, Replica};

/// Changes to the kustomization at the root of a build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `kustomize edit set nameprefix`; nothing if empty.
    pub name_prefix: Str,
    /// `kustomize edit set namesuffix`; nothing if empty.
    pub name_suffix: Str,
    /// `kustomize edit set namespace`; nothing if empty.
    pub namespace: Str,
    /// `kustomize edit set image`, one after the other.
    pub images: Vec<ImageOverride>,
    /// `kustomize edit set replicas`: names and counts.
    pub replicas: Vec<(Str, i64)>,
    /// Labels for every object.
    pub common_labels: Vec<(Str, Str)>,
    /// Whether the labels are not for selectors.
    pub labels_without_selectors: bool,
    /// Whether labels that are not for selectors are for templates all the
    /// same.
    pub labels_in_templates: bool,
    /// Whether labels may replace those of the file.
    pub force_common_labels: bool,
    /// Annotations for every object.
    pub common_annotations: Vec<(Str, Str)>,
    /// Whether annotations may replace those of the file.
    pub force_common_annotations: bool,
    /// More components, after those of the file.
    pub components: Vec<Str>,
    /// More patches, after those of the file: entries as they are written
    /// there.
    pub patches: Vec<Value>,
}

/// One argument of `kustomize edit set image`.
///
/// ```
/// use gitops_render::kustomize::ImageOverride;
/// let image = ImageOverride::parse("nginx=registry.example/nginx:1.27")?;
/// assert_eq!(image.name, "nginx");
/// assert_eq!((&*image.new_name, &*image.new_tag), ("registry.example/nginx", "1.27"));
/// assert!(ImageOverride::parse("nginx").is_err());
/// # Ok::<(), gitops_render::kustomize::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageOverride {
    /// The image that is meant.
    pub name: Str,
    /// Its new name; the old one stays if it is empty.
    pub new_name: Str,
    /// Its new tag; `*` for the one that the file has for it.
    pub new_tag: Str,
    /// Its new digest.
    pub digest: Str,
}

impl ImageOverride {
    /// Reads `NAME=NEWNAME:TAG`, `NAME=NEWNAME@DIGEST`, `NAME:TAG` and the
    /// like.
    ///
    /// # Errors
    ///
    /// [`Error`], if it is none of these.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::new(
                ErrorKind::Kustomization,
                "invalid format of image, use one of the following options:\n\
                 - <image>=<newimage>:<newtag>\n\
                 - <image>=<newimage>@<digest>\n\
                 - <image>=<newimage>\n\
                 - <image>:<newtag>\n\
                 - <image>@<digest>",
            )
        };
        let (name, rest) = match text.split_once('=') {
            Some((name, rest)) if !name.is_empty() && !rest.is_empty() => (Some(name), rest),
            Some(_) => return Err(invalid()),
            None => (None, text),
        };
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, digest),
            None => (rest, ""),
        };
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (image, tag) = match rest[slash..].rfind(':') {
            Some(at) if digest.is_empty() => (&rest[..slash + at], &rest[slash + at + 1..]),
            _ => (rest, ""),
        };
        if image.is_empty() || (name.is_none() && tag.is_empty() && digest.is_empty()) {
            return Err(invalid());
        }
        Ok(ImageOverride {
            name: name.unwrap_or(image).into(),
            new_name: match name {
                Some(_) if image != "*" => image.into(),
                _ => Str::new(),
            },
            new_tag: tag.into(),
            digest: digest.into(),
        })
    }
}

impl Overrides {
    /// Changes a kustomization.
    pub(super) fn apply(&self, file: &mut Kustomization) -> Result<()> {
        for (field, new) in [
            (&mut file.name_prefix, &self.name_prefix),
            (&mut file.name_suffix, &self.name_suffix),
            (&mut file.namespace, &self.namespace),
        ] {
            if !new.is_empty() {
                field.clone_from(new);
            }
        }
        for image in &self.images {
            set_image(&mut file.images, image);
        }
        for (name, count) in &self.replicas {
            file.replicas.retain(|replica| replica.name != *name);
            file.replicas.push(Replica {
                name: name.clone(),
                count: *count,
            });
        }
        self.add_labels(file)?;
        add_pairs(
            &mut file.common_annotations,
            &self.common_annotations,
            self.force_common_annotations,
            "annotation",
        )?;
        for component in &self.components {
            if !file.components.contains(component) {
                file.components.push(component.clone());
            }
        }
        let context = Context::root("Patch");
        for patch in &self.patches {
            // Argo CD writes the patch itself as text or as an object.
            let mut patch = patch.clone();
            if let Some(inline) = patch.as_map_mut().and_then(|map| map.get_mut("patch"))
                && !matches!(inline, Value::String(_) | Value::Null)
            {
                let text = yaml::to_string(inline)
                    .map_err(|error| Error::new(ErrorKind::Kustomization, error.to_string()))?;
                *inline = Value::from(text);
            }
            file.patches.push(file::patch(&patch, &context)?);
        }
        Ok(())
    }

    fn add_labels(&self, file: &mut Kustomization) -> Result<()> {
        if self.common_labels.is_empty() {
            return Ok(());
        }
        if !self.labels_without_selectors {
            return add_pairs(
                &mut file.common_labels,
                &self.common_labels,
                self.force_common_labels,
                "label",
            );
        }
        let here = |label: &Label| {
            !label.include_selectors
                && label.include_templates == self.labels_in_templates
                && label.fields.is_empty()
        };
        if !self.force_common_labels {
            for (key, _) in &self.common_labels {
                if file
                    .labels
                    .iter()
                    .any(|label| label.pairs.iter().any(|(known, _)| known == key))
                {
                    return Err(already(key, "label"));
                }
            }
        }
        let at = match file.labels.iter().position(here) {
            Some(at) => at,
            None => {
                file.labels.push(Label {
                    include_templates: self.labels_in_templates,
                    ..Label::default()
                });
                file.labels.len() - 1
            }
        };
        add_pairs(
            &mut file.labels[at].pairs,
            &self.common_labels,
            true,
            "label",
        )
    }
}

fn already(key: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Kustomization,
        format!("{what} {key} already in kustomization file"),
    )
}

fn add_pairs(
    pairs: &mut Vec<(Str, Str)>,
    new: &[(Str, Str)],
    force: bool,
    what: &str,
) -> Result<()> {
    for (key, value) in new {
        match pairs.iter_mut().find(|(known, _)| known == key) {
            Some(_) if !force => return Err(already(key, what)),
            Some((_, known)) => known.clone_from(value),
            None => pairs.push((key.clone(), value.clone())),
        }
    }
    pairs.sort();
    Ok(())
}

fn set_image(images: &mut Vec<Image>, new: &ImageOverride) {
    let known = images.iter().position(|image| image.name == new.name);
    let mut image = match known {
        Some(at) => images.remove(at),
        None => Image {
            name: new.name.clone(),
            ..Image::default()
        },
    };
    if !new.new_name.is_empty() {
        image.new_name = new.new_name.clone();
    }
    if new.new_tag == "*" {
        // The tag that the file has stays.
    } else if !new.new_tag.is_empty() || !new.digest.is_empty() {
        image.new_tag = new.new_tag.clone();
        image.digest = new.digest.clone();
        image.tag_suffix = Str::new();
    } else {
        image.new_tag = Str::new();
        image.digest = Str::new();
    }
    images.push(image);
    images.sort_by(|a, b| a.name.cmp(&b.name));
}
