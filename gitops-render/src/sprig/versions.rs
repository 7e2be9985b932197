//! Semantic versions, by [`gitops_core::semver`].

use gitops_core::Value as Core;
use gitops_core::semver::{Constraint, Error, Version};

use crate::gotmpl::{Failure, Function, Kind, Method, Object, Str, Type, Value};

const S: Type = Type::Str;
const VERSION: &str = "*semver.Version";
/// What methods make of a version is no pointer to one.
const VALUE: &str = "semver.Version";

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("semver", &[S], Type::Object(VERSION), |_, args| {
        Ok(Value::object(SemVer {
            version: parse(args.str(0))?,
            kind: Kind::Ptr,
        }))
    }),
    Function::new("semverCompare", &[S, S], Type::Bool, |_, args| {
        let range = Constraint::parse(&args.str(0).to_text()).map_err(failure)?;
        Ok(Value::Bool(range.matches(&parse(args.str(1))?)))
    }),
];

fn parse(text: &Str) -> Result<Version, Failure> {
    Version::parse(&text.to_text()).map_err(failure)
}

fn failure(error: Error) -> Failure {
    Failure::new(error.to_string())
}

struct SemVer {
    version: Version,
    /// Whether it is a pointer to one.
    kind: Kind,
}

impl Object for SemVer {
    fn type_name(&self) -> &str {
        match self.kind {
            Kind::Ptr => VERSION,
            _ => VALUE,
        }
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn entries(&self) -> Vec<(Str, Value)> {
        Vec::new()
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        let of_pointers = match self.kind {
            Kind::Ptr => OF_POINTERS,
            _ => &[],
        };
        let mut methods = METHODS.iter().chain(of_pointers);
        methods.find(|method| method.name == name)
    }

    fn text(&self) -> Option<Str> {
        Some(self.version.to_string().into())
    }

    fn to_core(&self) -> Result<Core, Failure> {
        Ok(self.version.to_string().into())
    }

    fn same(&self, other: &dyn Object) -> bool {
        other.downcast_ref::<SemVer>().is_some_and(|other| {
            self.kind == other.kind && self.version.original == other.version.original
        })
    }
}

fn version(object: &dyn Object) -> Result<&Version, Failure> {
    match object.downcast_ref::<SemVer>() {
        Some(object) => Ok(&object.version),
        None => Err(Failure::new("not a version")),
    }
}

fn made(version: Version) -> Value {
    Value::object(SemVer {
        version,
        kind: Kind::Struct,
    })
}

macro_rules! compare {
    ($name:literal, $method:ident) => {
        Method::new(
            $name,
            &[Type::Object(VERSION)],
            Type::Bool,
            |object, _, args| {
                let other = &args.object::<SemVer>(0).version;
                Ok(Value::Bool(version(object)?.cmp(other).$method()))
            },
        )
    };
}

const METHODS: &[Method] = &[
    Method::new("Major", &[], Type::Uint64, |object, _, _| {
        Ok(Value::Uint64(version(object)?.major))
    }),
    Method::new("Minor", &[], Type::Uint64, |object, _, _| {
        Ok(Value::Uint64(version(object)?.minor))
    }),
    Method::new("Patch", &[], Type::Uint64, |object, _, _| {
        Ok(Value::Uint64(version(object)?.patch))
    }),
    Method::new("Prerelease", &[], S, |object, _, _| {
        Ok(version(object)?.prerelease.clone().into())
    }),
    Method::new("Metadata", &[], S, |object, _, _| {
        Ok(version(object)?.metadata.clone().into())
    }),
    Method::new("String", &[], S, |object, _, _| {
        Ok(version(object)?.to_string().into())
    }),
    Method::new("IncPatch", &[], Type::Object(VALUE), |object, _, _| {
        Ok(made(version(object)?.next_patch()))
    }),
    Method::new("IncMinor", &[], Type::Object(VALUE), |object, _, _| {
        Ok(made(version(object)?.next_minor()))
    }),
    Method::new("IncMajor", &[], Type::Object(VALUE), |object, _, _| {
        Ok(made(version(object)?.next_major()))
    }),
    Method::new(
        "SetPrerelease",
        &[S],
        Type::Object(VALUE),
        |object, _, args| {
            let changed = version(object)?.with_prerelease(&args.str(0).to_text());
            changed.map(made).map_err(failure)
        },
    ),
    Method::new(
        "SetMetadata",
        &[S],
        Type::Object(VALUE),
        |object, _, args| {
            let changed = version(object)?.with_metadata(&args.str(0).to_text());
            changed.map(made).map_err(failure)
        },
    ),
];

const OF_POINTERS: &[Method] = &[
    Method::new("Original", &[], S, |object, _, _| {
        Ok(version(object)?.original.clone().into())
    }),
    Method::new(
        "Compare",
        &[Type::Object(VERSION)],
        Type::Int,
        |object, _, args| {
            let other = &args.object::<SemVer>(0).version;
            Ok(Value::Int(version(object)?.cmp(other) as i64))
        },
    ),
    compare!("LessThan", is_lt),
    compare!("LessThanEqual", is_le),
    compare!("GreaterThan", is_gt),
    compare!("GreaterThanEqual", is_ge),
    compare!("Equal", is_eq),
];
