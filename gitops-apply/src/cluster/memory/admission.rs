//! What a write goes through before anything is stored.

use gitops_core::schema::{is_builtin, structural};
use gitops_core::{Manifest, Map, Origin, Value};
use gitops_diff::managed_fields::{self, Writer};
use gitops_diff::{immutable, predict, validate};

use super::refusals::{apply_error, invalid, masked, not_found};
use super::{MemoryCluster, State, Verb, change, edit, key_of, kinds, simulate, text};
use crate::cluster::{ClusterError, Write};

/// How a write ends: what is stored, and whether it is new.
pub(super) enum Written {
    Unchanged(Manifest),
    Stored(Manifest),
}

impl MemoryCluster {
    /// Applies, creates, replaces or patches. `base` is what a patch was made
    /// from.
    pub(super) fn write(
        &self,
        wanted: &Manifest,
        base: Option<&Manifest>,
        write: &Write,
        verb: Verb,
    ) -> Result<Manifest, ClusterError> {
        let mut state = self.state();
        let answer = self.admit(&mut state, wanted, base, write, verb);
        let live = |state: &State| state.objects.get(&key_of(wanted.key())).cloned();
        match answer.map_err(|error| masked(error, wanted, live(&state).as_ref()))? {
            Written::Unchanged(live) => Ok(live),
            Written::Stored(object) if write.dry_run => Ok(object),
            Written::Stored(object) => Ok(self.store(&mut state, object)),
        }
    }

    pub(super) fn admit(
        &self,
        state: &mut State,
        wanted: &Manifest,
        base: Option<&Manifest>,
        write: &Write,
        verb: Verb,
    ) -> Result<Written, ClusterError> {
        let kind = state.kind(wanted.gvk())?;
        let mut wanted = wanted.clone();
        if kind.namespaced == wanted.namespace().is_empty() {
            let problem = match kind.namespaced {
                true => "an empty namespace may not be set during creation",
                false => "the kind has no namespaces, and the object names one",
            };
            return Err(invalid(&wanted, problem));
        }
        if wanted.name().is_empty() {
            if verb != Verb::Create {
                return Err(invalid(
                    &wanted,
                    "metadata.name: Required value: name is required",
                ));
            }
            state.made += 1;
            let suffix = format!("{:05x}", state.made);
            edit(&mut wanted, |metadata| {
                let prefix = metadata.get("generateName").and_then(Value::as_str);
                let name = format!("{}{suffix}", prefix.unwrap_or_default());
                metadata.insert("name", name);
            });
        }
        let live = state.objects.get(&key_of(wanted.key())).cloned();
        let within = !write.subresource.is_empty();
        if within && (write.subresource != "status" || !state.schemas.has_status(wanted.gvk())) {
            return Err(ClusterError::UnknownKind {
                gvk: wanted.gvk().clone(),
            });
        }
        match (verb, &live) {
            (Verb::Create, Some(_)) => {
                return Err(ClusterError::AlreadyExists {
                    key: wanted.key().clone(),
                });
            }
            (Verb::Replace | Verb::Patch, None) => {
                return Err(not_found(wanted.key(), &kind.plural));
            }
            (Verb::Apply, None) if within => return Err(not_found(wanted.key(), &kind.plural)),
            _ => {}
        }
        check_version(&wanted, live.as_ref())?;
        let unversioned = || text(&wanted, &["metadata", "resourceVersion"]).is_empty();
        if verb == Verb::Replace && !is_builtin(wanted.gvk()) && unversioned() {
            let problem =
                "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
            return Err(invalid(&wanted, problem));
        }
        if live.is_none() && kind.namespaced {
            state.check_namespace(wanted.namespace())?;
        }
        if verb == Verb::Apply && wanted.at(&["metadata", "managedFields"]).is_some() {
            return Err(invalid(&wanted, "metadata.managedFields must be nil"));
        }

        let writer = Writer {
            subresource: write.subresource.clone(),
            force: write.force,
            now: self.time(),
            keep_emptied: managed_fields::keeps_emptied(&self.0.options.server_version),
            ..Writer::new(write.manager.clone())
        };
        let (schemas, gvk) = (&state.schemas, wanted.gvk().clone());
        let object = if verb == Verb::Apply {
            let applied = managed_fields::apply(live.as_ref(), &wanted, schemas, &writer);
            applied.map_err(|error| apply_error(error, &wanted))?.object
        } else {
            if write.validate {
                validate::fields(&wanted, schemas).map_err(|problem| invalid(&wanted, &problem))?;
            }
            // What is written is read and filled in first; who changed what
            // is about that.
            let body = predict::decoded(wanted.object().clone(), schemas, &gvk);
            let body = Manifest::new(Value::Map(body), Origin::default())
                .map_err(|error| invalid(&wanted, &error.to_string()))?;
            let written = managed_fields::update(base.or(live.as_ref()), &body, schemas, &writer);
            written.map_err(|error| apply_error(error, &wanted))?
        };
        let object = match &live {
            Some(live) if within => with_status(live, &object),
            live => predict::stored(object, live.as_ref(), schemas, &gvk),
        };
        let mut object = Manifest::new(Value::Map(object), Origin::default())
            .map_err(|error| invalid(&wanted, &error.to_string()))?;
        if let Some(structural) = schemas.structural(&gvk)
            && let Some(violation) = structural::violations(structural, object.object()).first()
        {
            return Err(invalid(&object, &violation.to_string()));
        }
        self.identify(state, &mut object, live.as_ref());
        validate::object(&object).map_err(|problem| invalid(&object, &problem))?;
        if let Some(live) = &live {
            if let Some(problem) = immutable::refused(&object, live) {
                return Err(invalid(&object, &problem));
            }
            if predict::same(object.object(), live.object()) {
                return Ok(Written::Unchanged(live.clone()));
            }
        }
        Ok(Written::Stored(object))
    }

    /// Gives the object what only a server gives.
    pub(super) fn identify(
        &self,
        state: &mut State,
        object: &mut Manifest,
        live: Option<&Manifest>,
    ) {
        let Some(live) = live else {
            let has_generation = kinds::has_generation(object.key());
            state.made += 1;
            let (made, time) = (state.made, self.time());
            edit(object, |metadata| {
                metadata.insert("uid", format!("00000000-0000-4000-8000-{made:012x}"));
                metadata.insert("creationTimestamp", time);
                metadata.remove("resourceVersion");
                metadata.remove("deletionTimestamp");
                if has_generation {
                    metadata.insert("generation", 1);
                } else {
                    metadata.remove("generation");
                }
            });
            simulate::begin(object, made);
            return;
        };
        const KEPT: [&str; 6] = [
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ];
        edit(object, |metadata| {
            for name in KEPT {
                match live.at(&["metadata", name]) {
                    Some(value) => metadata.insert(name, value.clone()),
                    None => metadata.remove(name),
                };
            }
        });
        change(object, |object| simulate::carry_over(object, live.object()));
        let content = |object: &Manifest| {
            let mut content = object.object().clone();
            content.remove("metadata");
            content.remove("status");
            content
        };
        let generation = live.at(&["metadata", "generation"]).and_then(Value::as_i64);
        if let Some(generation) = generation
            && content(object) != content(live)
        {
            edit(object, |metadata| {
                metadata.insert("generation", generation + 1);
            });
        }
    }
}

/// The live object with the status of `written`, and its owners.
fn with_status(live: &Manifest, written: &Map) -> Map {
    let mut object = live.object().clone();
    match written.get("status") {
        Some(status) => object.insert("status", status.clone()),
        None => object.remove("status"),
    };
    let owners = written
        .get("metadata")
        .and_then(|metadata| metadata.get("managedFields"));
    if let Some(Value::Map(metadata)) = object.get_mut("metadata") {
        match owners {
            Some(owners) => metadata.insert("managedFields", owners.clone()),
            None => metadata.remove("managedFields"),
        };
    }
    object
}

fn check_version(wanted: &Manifest, live: Option<&Manifest>) -> Result<(), ClusterError> {
    let conflict = |message: String| ClusterError::Conflict {
        key: wanted.key().clone(),
        message,
        fields: Vec::new(),
    };
    let named = text(wanted, &["metadata", "uid"]);
    let uid = live.map(|live| text(live, &["metadata", "uid"]));
    if !named.is_empty() && uid.as_ref() != Some(&named) {
        return Err(conflict(format!(
            "uid mismatch: the provided object specified uid {named}, and {} was found",
            uid.map_or("no existing object".to_owned(), |uid| uid.to_string())
        )));
    }
    let version = text(wanted, &["metadata", "resourceVersion"]);
    let is = live.map(|live| text(live, &["metadata", "resourceVersion"]));
    if !version.is_empty() && is.is_some_and(|is| is != version) {
        return Err(conflict(format!(
            "Operation cannot be fulfilled on {}: the object has been modified; please apply your \
             changes to the latest version and try again",
            wanted.key()
        )));
    }
    Ok(())
}
