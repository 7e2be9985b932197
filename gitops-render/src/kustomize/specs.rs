//! The fields that transformers write to: Kustomize's transformer
//! configuration, its defaults (`specs.txt`) and how others are merged in.

use std::sync::{Arc, LazyLock};

use gitops_core::{Str, Value};

use super::decode::{Context, Fields};
use super::error::{Error, ErrorKind, Result};
use super::fields::FieldSpec;
use super::id::Gvk;

/// The field specs of every transformer.
#[derive(Clone, Debug, Default)]
pub(super) struct Specs {
    pub(super) name_prefix: Vec<FieldSpec>,
    pub(super) name_suffix: Vec<FieldSpec>,
    pub(super) namespace: Vec<FieldSpec>,
    pub(super) common_labels: Vec<FieldSpec>,
    pub(super) labels: Vec<FieldSpec>,
    pub(super) template_labels: Vec<FieldSpec>,
    pub(super) common_annotations: Vec<FieldSpec>,
    pub(super) name_reference: Vec<BackReference>,
    pub(super) var_reference: Vec<FieldSpec>,
    pub(super) images: Vec<FieldSpec>,
    pub(super) replicas: Vec<FieldSpec>,
}

/// The fields that hold names of one kind of object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BackReference {
    pub(super) referral: Gvk,
    pub(super) referrers: Vec<FieldSpec>,
}

static DEFAULTS: LazyLock<Arc<Specs>> = LazyLock::new(|| {
    // Sorted and merged already.
    Arc::new(Specs::from_table(include_str!("specs.txt")))
});

impl Specs {
    /// What Kustomize starts with.
    pub(super) fn defaults() -> Arc<Specs> {
        DEFAULTS.clone()
    }

    fn from_table(table: &'static str) -> Self {
        let mut specs = Specs::default();
        let mut lines = table;
        while !lines.is_empty() {
            let line = take(&mut lines, b'\n');
            if line.starts_with('#') {
                continue;
            }
            let mut words = line;
            let table = take(&mut words, b' ');
            let path = match table {
                "nameReference" => "",
                _ => take(&mut words, b' '),
            };
            let mut gvk = Gvk::default();
            let mut create = false;
            while !words.is_empty() {
                let word = take(&mut words, b' ');
                if let Some(group) = word.strip_prefix("group=") {
                    gvk.group = group.into();
                } else if let Some(version) = word.strip_prefix("version=") {
                    gvk.version = version.into();
                } else if let Some(kind) = word.strip_prefix("kind=") {
                    gvk.kind = kind.into();
                } else {
                    create |= word == "create";
                }
            }
            if table == "nameReference" {
                specs.name_reference.push(BackReference {
                    referral: gvk,
                    referrers: Vec::new(),
                });
                continue;
            }
            let spec = FieldSpec::new(gvk, path, create);
            if table == "-" {
                if let Some(reference) = specs.name_reference.last_mut() {
                    reference.referrers.push(spec);
                }
            } else if let Some(list) = specs.table(table) {
                list.push(spec);
            }
        }
        specs
    }

    fn table(&mut self, name: &str) -> Option<&mut Vec<FieldSpec>> {
        Some(match name {
            "namePrefix" => &mut self.name_prefix,
            "nameSuffix" => &mut self.name_suffix,
            "namespace" => &mut self.namespace,
            "commonLabels" => &mut self.common_labels,
            "labels" => &mut self.labels,
            "templateLabels" => &mut self.template_labels,
            "commonAnnotations" => &mut self.common_annotations,
            "varReference" => &mut self.var_reference,
            "images" => &mut self.images,
            "replicas" => &mut self.replicas,
            _ => return None,
        })
    }

    /// Reads a file of `configurations`.
    pub(super) fn from_value(value: &Value) -> Result<Self> {
        let mut specs = Specs::default();
        let context = Context::root("TransformerConfig");
        let Some(mut fields) = Fields::of(value, &context)? else {
            return Ok(specs);
        };
        for name in [
            "namePrefix",
            "nameSuffix",
            "namespace",
            "commonLabels",
            "labels",
            "templateLabels",
            "commonAnnotations",
            "varReference",
            "images",
            "replicas",
        ] {
            let list = fields.list(name, "types.FsSlice", field_spec)?;
            if let Some(table) = specs.table(name) {
                *table = list.unwrap_or_default();
            }
        }
        specs.name_reference = fields
            .list("nameReference", "builtinconfig.nbrSlice", back_reference)?
            .unwrap_or_default();
        fields.finish()?;
        specs.sort();
        Ok(specs)
    }

    /// These specs and others.
    pub(super) fn merge(&self, other: &Specs) -> Result<Specs> {
        let merge = |name: &str, ours: &[FieldSpec], theirs: &[FieldSpec]| {
            let mut merged = ours.to_vec();
            merge_all(&mut merged, theirs)
                .map_err(|error| error.within(format_args!("failed to merge {name} fieldSpec")))?;
            Ok::<_, Error>(merged)
        };
        let mut merged = Specs {
            name_prefix: merge("NamePrefix", &self.name_prefix, &other.name_prefix)?,
            name_suffix: merge("NameSuffix", &self.name_suffix, &other.name_suffix)?,
            namespace: merge("NameSpace", &self.namespace, &other.namespace)?,
            common_annotations: merge(
                "CommonAnnotations",
                &self.common_annotations,
                &other.common_annotations,
            )?,
            common_labels: merge("CommonLabels", &self.common_labels, &other.common_labels)?,
            labels: merge("Labels", &self.labels, &other.labels)?,
            template_labels: merge(
                "TemplateLabels",
                &self.template_labels,
                &other.template_labels,
            )?,
            var_reference: merge("VarReference", &self.var_reference, &other.var_reference)?,
            name_reference: self.name_reference.clone(),
            images: merge("Images", &self.images, &other.images)?,
            replicas: merge("Replicas", &self.replicas, &other.replicas)?,
        };
        for reference in &other.name_reference {
            merged
                .add_back_reference(reference)
                .map_err(|error| error.within("failed to merge NameReference fieldSpec"))?;
        }
        merged.sort();
        Ok(merged)
    }

    pub(super) fn add_back_reference(&mut self, reference: &BackReference) -> Result<()> {
        let known = self
            .name_reference
            .iter_mut()
            .find(|known| known.referral == reference.referral);
        match known {
            Some(known) => merge_all(&mut known.referrers, &reference.referrers),
            None => {
                self.name_reference.push(reference.clone());
                Ok(())
            }
        }
    }

    fn sort(&mut self) {
        for list in [
            &mut self.name_prefix,
            &mut self.name_suffix,
            &mut self.namespace,
            &mut self.common_labels,
            &mut self.labels,
            &mut self.template_labels,
            &mut self.common_annotations,
            &mut self.var_reference,
            &mut self.images,
            &mut self.replicas,
        ] {
            list.sort_by_cached_key(|spec| order(&spec.gvk));
        }
        self.name_reference
            .sort_by_cached_key(|reference| order(&reference.referral));
    }
}

/// Takes what comes before the first `end`. The table is read in every build,
/// and `str::split` would take twice as long.
fn take<'t>(text: &mut &'t str, end: u8) -> &'t str {
    let at = memchr::memchr(end, text.as_bytes()).unwrap_or(text.len());
    let taken = &text[..at];
    *text = text.get(at + 1..).unwrap_or_default();
    taken
}

/// Where kyaml puts a kind among others.
fn order(gvk: &Gvk) -> (i32, String) {
    let or = |text: &Str, other: &str| match text.is_empty() {
        true => other.to_owned(),
        false => text.to_string(),
    };
    (
        super::order::rank(&gvk.kind),
        format!(
            "{}_{}_{}",
            or(&gvk.group, "~G"),
            or(&gvk.version, "~V"),
            or(&gvk.kind, "~K")
        ),
    )
}

/// Adds specs that are not there yet.
///
/// # Errors
///
/// If one is there that differs in whether the field is made.
pub(super) fn merge_all(list: &mut Vec<FieldSpec>, others: &[FieldSpec]) -> Result<()> {
    for other in others {
        merge_one(list, other)?;
    }
    Ok(())
}

pub(super) fn merge_one(list: &mut Vec<FieldSpec>, other: &FieldSpec) -> Result<()> {
    match list.iter().find(|known| known.covers(other)) {
        Some(known) if known.create != other.create => Err(Error::new(
            ErrorKind::Kustomization,
            "conflicting fieldspecs",
        )),
        Some(_) => Ok(()),
        None => {
            list.push(other.clone());
            Ok(())
        }
    }
}

/// A field spec as it is written in kustomizations.
pub(super) fn field_spec(value: &Value, context: &Context<'_>) -> Result<FieldSpec> {
    let mut gvk = Gvk::default();
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(FieldSpec::default());
    };
    gvk.group = fields.text("group")?;
    gvk.version = fields.text("version")?;
    gvk.kind = fields.text("kind")?;
    let spec = FieldSpec::new(
        gvk,
        String::from(fields.text("path")?),
        fields.flag("create")?,
    );
    fields.finish()?;
    Ok(spec)
}

fn back_reference(value: &Value, context: &Context<'_>) -> Result<BackReference> {
    let mut reference = BackReference {
        referral: Gvk::default(),
        referrers: Vec::new(),
    };
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(reference);
    };
    reference.referral = Gvk {
        group: fields.text("group")?,
        version: fields.text("version")?,
        kind: fields.text("kind")?,
    };
    reference.referrers = fields
        .list("fieldSpecs", "types.FsSlice", field_spec)?
        .unwrap_or_default();
    fields.finish()?;
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sorted_and_merged_already() {
        let table = Specs::from_table(include_str!("specs.txt"));
        let mut sorted = table.clone();
        sorted.sort();
        let merged = Specs::default().merge(&sorted).expect("no contradiction");
        assert_eq!(format!("{table:?}"), format!("{merged:?}"));
    }
}
