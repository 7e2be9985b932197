//! What an application wants otherwise than its kustomization says: the
//! fields of Argo CD's `spec.source.kustomize`, which there are edits of the
//! file by `kustomize edit`.

use std::collections::{BTreeMap, BTreeSet};

use gitops_core::{Str, Value, yaml};

use super::decode::Context;
use super::error::{Error, ErrorKind, Result};
use super::file::{self, Image, Kustomization, Label, Replica};
use super::images;

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
    /// Its new name; the old one stays if it is empty. `*` stands for the one
    /// that the file has for it, here and in the other fields.
    pub new_name: Str,
    /// Its new tag.
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
        let (key, image) = text.split_once('=').unwrap_or(("", text));
        let (name, tag, digest) = images::split(image);
        if name == text {
            return Err(Error::new(
                ErrorKind::Kustomization,
                "invalid format of image, use one of the following options:\n\
                 - <image>=<newimage>:<newtag>\n\
                 - <image>=<newimage>@<digest>\n\
                 - <image>=<newimage>:<newtag>@<digest>\n\
                 - <image>=<newimage>\n\
                 - <image>:<newtag>\n\
                 - <image>@<digest>",
            ));
        }
        let (name, new_name) = match key {
            "" => (name, ""),
            key => (key, name),
        };
        Ok(ImageOverride {
            name: name.into(),
            new_name: new_name.into(),
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
        if !self.images.is_empty() {
            set_images(&mut file.images, &self.images);
        }
        if !self.replicas.is_empty() {
            let ours = self.replicas.iter().map(|(name, count)| Replica {
                name: name.clone(),
                count: *count,
            });
            // Of two for one name, the later counts.
            let all = file.replicas.drain(..).chain(ours);
            let by_name: BTreeMap<Str, Replica> =
                all.map(|replica| (replica.name.clone(), replica)).collect();
            file.replicas = by_name.into_values().collect();
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
            if self.labels_in_templates {
                return Err(Error::new(
                    ErrorKind::Kustomization,
                    "--without-selector flag must be specified for --include-templates to work",
                ));
            }
            return add_pairs(
                &mut file.common_labels,
                &self.common_labels,
                self.force_common_labels,
                "label",
            );
        }
        // They join the first entry that goes where they go.
        let here = |label: &Label| {
            !label.include_selectors && label.include_templates == self.labels_in_templates
        };
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
            self.force_common_labels,
            "label",
        )
    }
}

fn already(key: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Kustomization,
        format!("{what} {key} already in kustomization file. Use --force to override."),
    )
}

fn add_pairs(
    pairs: &mut Vec<(Str, Str)>,
    new: &[(Str, Str)],
    force: bool,
    what: &str,
) -> Result<()> {
    for (key, value) in new {
        // `kustomize edit add` takes quotes around a value off.
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .map_or_else(|| value.clone(), Str::from);
        match pairs.iter_mut().find(|(known, _)| known == key) {
            Some(_) if !force => return Err(already(key, what)),
            Some((_, known)) => *known = value,
            None => pairs.push((key.clone(), value)),
        }
    }
    pairs.sort();
    Ok(())
}

/// Sets images: an entry of the file for one of them goes, but for what a `*`
/// keeps of it.
fn set_images(images: &mut Vec<Image>, overrides: &[ImageOverride]) {
    const KEPT: &str = "*";
    let mut by_name: BTreeMap<Str, Image> = overrides
        .iter()
        .map(|new| {
            let image = Image {
                name: new.name.clone(),
                new_name: new.new_name.clone(),
                new_tag: new.new_tag.clone(),
                tag_suffix: Str::new(),
                digest: new.digest.clone(),
            };
            (new.name.clone(), image)
        })
        .collect();
    let overridden: BTreeSet<Str> = by_name.keys().cloned().collect();
    for known in images.drain(..) {
        match by_name.get_mut(&known.name) {
            Some(new) if overridden.contains(&known.name) => {
                for (field, known) in [
                    (&mut new.new_name, known.new_name),
                    (&mut new.new_tag, known.new_tag),
                    (&mut new.digest, known.digest),
                ] {
                    if field == KEPT {
                        *field = known;
                    }
                }
            }
            _ => {
                by_name.insert(known.name.clone(), known);
            }
        }
    }
    for mut image in by_name.into_values() {
        for field in [&mut image.new_name, &mut image.new_tag, &mut image.digest] {
            if field == KEPT {
                *field = Str::new();
            }
        }
        images.push(image);
    }
}
